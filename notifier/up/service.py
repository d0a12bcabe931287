"""The order of things: what starts after what, when it is ready, and what stops after what."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from django.conf import settings

from notifier import embedded, metrics_dir
from notifier.up.keeper import STUBBORN, Keeper
from notifier.up.plan import Plan
from notifier.up.program import Child, Program, happened
from notifier.up.terminal import Terminal

_IMPATIENCE = 15.0  # seconds without being ready, after which we say what we wait for


class StartFailed(Exception):
    """Raised when something did not start; says what, and what to mend."""


class _Stopped(Exception):
    """Raised when a stop was asked for in the middle of a start."""


def run() -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; again SIGINT or SIGTERM hurries. To be called from the main thread.

    Raises: StartFailed, embedded.EmbeddedError.
    """
    Service(Plan()).run()


class Service:
    """One run of everything."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stop_requests = 0
        self._stopping, self._hurry = asyncio.Event(), asyncio.Event()
        self._terminal = Terminal(lost=self._request_stop)
        self._database = embedded.Server(plan.data_dir) if settings.EMBEDDED else None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        if troubles := self._plan.taken_ports():
            raise StartFailed("\n".join(troubles))
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)  # which a shell's background commands ignore by default
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` is respected
            signal.signal(signal.SIGHUP, self._on_signal)
        metrics_dir.empty(settings.METRICS_DIR)  # of the last run's processes
        try:
            if self._database is not None:
                self._database.start(give_up=self._stop_requested)
            asyncio.run(self._serve())
        finally:
            if self._database is not None:
                self._database.stop()
        self._terminal.complain("stopped")

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._request_stop()

    def _request_stop(self) -> None:
        self._stop_requests += 1
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell_stop)

    def _stop_requested(self) -> bool:
        return self._stop_requests > 0

    def _tell_stop(self) -> None:
        if self._stop_requests > 0:
            self._stopping.set()
        if self._stop_requests > 1:
            self._hurry.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell_stop()  # what was asked for before there was a loop
        tiers: list[list[Keeper]] = []
        database = asyncio.create_task(self._keep_database())
        try:
            await self._start(tiers)
            await self._stopping.wait()
        except _Stopped:
            pass
        finally:
            self._stopping.set()
            self._terminal.complain("stopping (again Ctrl-C to hurry)")
            for tier in tiers:
                await asyncio.gather(*(keeper.stop() for keeper in tier))
            await database
            self._loop = None

    async def _start(self, tiers: list[list[Keeper]]) -> None:
        """Start everything; `tiers` get what runs, in the order in which it is to stop."""
        plan = self._plan
        admin = plan.admin()
        await self._once(plan.migrate())
        for programs in (plan.web(), plan.workers(), plan.sandbox()):
            tiers.append([Keeper(program, self._terminal, self._hurry) for program in programs])
        for keeper in (keeper for tier in reversed(tiers) for keeper in tier):
            keeper.start()
        ends = await asyncio.gather(
            self._once(plan.api_key()), self._once(admin, tolerated="already taken"), return_exceptions=True
        )
        for error in ends:
            if error is not None:
                raise error
        await self._await_ready([keeper for tier in tiers for keeper in tier])
        self._terminal.say(plan.ready_text())

    async def _once(self, program: Program, *, tolerated: str = "") -> None:
        """Run a program to its end; what it writes is shown only where it fails.

        Raises: StartFailed where it fails and does not say what is `tolerated`; _Stopped.
        """
        child = await Child.start(program, self._terminal, shown=False)
        if not await happened(child.wait(), self._stopping.wait(), within=None):
            await child.stop(self._hurry)
            raise _Stopped
        last_words = await child.last_words()
        await child.close()
        if await child.wait() != 0 and not (tolerated and tolerated in last_words):
            raise StartFailed(f"`{program.name}` failed. Its last words:\n{last_words}")

    async def _await_ready(self, keepers: Sequence[Keeper]) -> None:
        """Raises: StartFailed where a program dies again and again; _Stopped."""
        complain_at = time.monotonic() + _IMPATIENCE
        while waited_for := await self._missing(keepers):
            if stubborn := next((keeper for keeper in keepers if keeper.early_deaths >= STUBBORN), None):
                raise StartFailed(f"{stubborn.name} does not start. Its last words:\n{stubborn.last_words}")
            if time.monotonic() > complain_at:
                self._terminal.complain(f"not ready yet: {waited_for}")
                complain_at += _IMPATIENCE
            if await happened(self._stopping.wait(), asyncio.sleep(0.1), within=None):
                raise _Stopped

    async def _missing(self, keepers: Sequence[Keeper]) -> str:
        """What is not ready; empty where everything is."""
        if dead := [keeper.name for keeper in keepers if not keeper.running]:
            return f"{', '.join(dead)} not running"
        if not self._plan.web():
            return ""
        try:
            report = await asyncio.wait_for(self._readiness(), 5)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            return "the web server does not answer"
        # What waited while nobody ran is old at a start, and makes it `degraded`: workers are what it needs.
        if report.get("status") not in {"ready", "degraded"}:
            return " ".join(report.get("reasons", ())) or "the web server is not ready"
        if self._plan.workers() and not report.get("workers"):
            return "no worker has begun"
        return ""

    async def _readiness(self) -> dict[str, Any]:
        """What the web server's /readyz says."""
        reading, writing = await asyncio.open_connection(*self._plan.address)
        try:
            # HTTP/1.0: the body comes whole and ends with the connection.
            request = f"GET /readyz HTTP/1.0\r\nHost: {self._plan.host_header}\r\n\r\n"
            writing.write(request.encode())
            _, _, body = (await reading.read()).partition(b"\r\n\r\n")
        finally:
            writing.close()
        report: dict[str, Any] = json.loads(body)
        return report

    async def _keep_database(self) -> None:
        """Start Postgres again when it dies, for as long as we run."""
        while self._database is not None and not self._stopping.is_set():
            if not self._database.alive():
                self._terminal.complain(
                    f"postgres ended; starting it again. Its last words:\n{self._database.last_words()}"
                )
                try:
                    self._database.stop()
                    self._database.start(give_up=self._stop_requested)
                except embedded.EmbeddedError as error:
                    self._terminal.complain(str(error))
                    await happened(self._stopping.wait(), self._hurry.wait(), within=5.0)
            await happened(self._stopping.wait(), self._hurry.wait(), within=0.2)
