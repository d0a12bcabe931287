"""The service as it runs in production, on a database of a test's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.request import urlopen
from uuid import UUID

import psycopg

from channels.sandbox.server import Sandbox
from tests import processes
from tests.eventually import eventually
from tests.faults.checks import Findings, check
from tests.faults.clients import Call, CallLog, Load, RetryingClient
from tests.faults.database import servers
from tests.ports import free_port
from tests.processes import BIN, ROOT, Running

WEB_THREADS: Final = 8
# Short of what a client waits, and far longer than anything takes that recovers by itself.
SETTLED_WITHIN: Final = 60.0  # seconds


class Service:
    """Its processes, the stand-in's journal, the clients' log. Use it as a context; what it started ends with it."""

    def __init__(self, url: str, api_key: str, folder: Path, **extra: str) -> None:
        """`url`: of the database; `extra`: of the environment of its programs, such as a way through a pooler."""
        self.url = url
        self._extra = extra
        self.api_key = api_key
        self.journal = folder / "journal"
        self.log = CallLog(folder / "calls")
        self.provider = Sandbox(journal=self.journal)
        self.running: list[Running] = []
        self.webs: list[str] = []
        self._ending = ExitStack()

    def __enter__(self) -> Service:
        self._ending.callback(self.log.close)
        self._ending.enter_context(self.provider)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def environment(self) -> dict[str, str]:
        environment = processes.plain_environment(
            **self.provider.environment(), DATABASE_URL=self.url, ALLOWED_HOSTS="127.0.0.1"
        )
        return environment | self._extra

    # --- processes ---------------------------------------------------------------------------------------

    def start(self, *, workers: int = 1) -> None:
        """A web server and so many workers, at once; returns when it answers and they have their leases."""
        before = self._workers()
        port = free_port()
        web = self._start(
            [
                *(str(BIN / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
                *("--workers", "1", "--blocking-threads", str(WEB_THREADS), "--no-ws"),
                "notifier.wsgi:application",
            ]
        )
        dramatiq = [str(BIN / "dramatiq"), "notifier.worker", "--processes", "1", "--threads", "8"]
        started = [self._start(dramatiq) for _ in range(workers)]

        def leases() -> bool:
            for worker in started:
                assert worker.popen.poll() is None, worker.log
            return len(self._workers() - before) == workers

        address = f"http://127.0.0.1:{port}"
        eventually(lambda: healthy(address, web), seconds=30, what="the web server's answer")
        eventually(leases, seconds=30, what="a lease for each worker")
        self.webs.append(address)

    def _start(self, command: list[str], root: Path = ROOT) -> Running:
        """`root`: where the service's own code is."""
        running = Running(command, self.environment(), root)
        self._ending.callback(running.end)
        self.running.append(running)
        return running

    def _workers(self) -> set[UUID]:
        return {row[0] for row in self.query("SELECT id FROM worker")}

    # --- what is to be seen ------------------------------------------------------------------------------

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as operator:
            return operator.execute(sql.encode(), parameters).fetchall()

    def count(self, *statuses: str) -> int:
        rows = self.query("SELECT count(*) FROM notification WHERE status = ANY(%s)", list(statuses))
        counted: int = rows[0][0]
        return counted

    def accepted(self) -> int:
        """Calls that were answered with 202."""
        return sum(call.status == 202 for call in self.log.calls)

    def until_more_are_accepted(self, more: int, *, seconds: float = 30) -> None:
        wanted = self.accepted() + more
        eventually(lambda: self.accepted() >= wanted, seconds=seconds, what=f"{more} more accepted")

    def until_more_are_received(self, more: int, *, seconds: float = 30) -> float:
        """Until the provider has taken so many more messages; how long that took."""
        began, before = monotonic(), self.provider.mailbox.taken
        self.provider.mailbox.wait(before + more, seconds=seconds)
        return monotonic() - began

    def until_refused(self, more: int = 10, *, seconds: float = 30) -> None:
        """Until so many more calls were answered with 503."""
        wanted = len(self.refused()) + more
        eventually(lambda: len(self.refused()) >= wanted, seconds=seconds, what=f"{more} more answered with 503")

    def refused(self, *, since: float = 0.0) -> list[Call]:
        """Calls begun after `since` (of the log's clock) that were answered with 503."""
        return [call for call in self.log.calls if call.status == 503 and call.at >= since]

    # --- clients -----------------------------------------------------------------------------------------

    def load(self, **options: Any) -> Load:
        return Load(self.webs, self.api_key, self.log, **{"clients": 8, "rate": 60, **options})

    def client(self) -> RetryingClient:
        client = RetryingClient(self.webs, self.api_key, self.log)
        self._ending.callback(client.close)
        return client

    # --- the end -----------------------------------------------------------------------------------------

    def settle(self) -> None:
        eventually(
            lambda: not self.count("pending", "sending"), seconds=SETTLED_WITHIN, what="nothing is open any more"
        )

    def check(self, *, excused: Collection[str] = ()) -> Findings:
        """The three checks, then the books, the answers and the logs."""
        self.settle()
        found = check(self.log.acknowledged(), database=self.url, journal=self.journal, excused=excused)
        assert found.acknowledged, "nothing was accepted: nothing was tried"
        assert not self.log.given_up, "every client had its answer in the end"
        assert not self.log.differing_answers()
        statuses = Counter(call.status for call in self.log.calls)
        others = [call for call in self.log.calls if call.status not in {202, 503}]
        assert not others, (statuses, others[:5])
        self.check_books()
        for running in self.running:
            assert running.popen.poll() is None, running.log
            assert "Traceback" not in running.log, running.log[-5000:]
        return found

    def check_books(self) -> None:
        report = json.loads(servers.manage("check_outbox", "--json", **self.environment()))
        assert report["balanced"], report


def healthy(address: str, running: Running) -> bool:
    assert running.popen.poll() is None, running.log
    with suppress(OSError):
        return urlopen(f"{address}/healthz", timeout=2).status == 200
    return False


def events(running: Running, name: str) -> int:
    """How many lines of a process's log tell of this event."""
    return sum(f'"event": "{name}"' in line for line in running.log.splitlines())
