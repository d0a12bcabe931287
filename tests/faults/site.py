"""One installation of the service as a test breaks it: its processes, the stand-in's journal, the clients' log."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Attempt, Client, Notification, Worker
from notifications.outbox import books
from tests.eventually import eventually
from tests.faults.checks import Findings, check
from tests.faults.clients import CallLog, Load, RetryingClient
from tests.ports import free_port
from tests.processes import BIN, Running, database_url, environment

WEB_GRACE: Final = 10.0  # seconds between SIGTERM and SIGKILL, as `make run` and the images have them
WORKER_GRACE: Final = 30.0


class Place(AbstractContextManager[object], Protocol):
    """Where a part of the site is: what a thread begins within this context is there."""

    address: str


class Here(nullcontext[None]):
    """This machine's own loopback."""

    address = "127.0.0.1"


HERE: Final = Here()


class Site:
    """Use it as a context; what it started ends with it.

    `provider` and `clients` say where these are, which are threads of ours; `extra` is in the environment of
    every process.
    """

    def __init__(self, folder: Path, *, provider: Place = HERE, clients: Place = HERE, **extra: str) -> None:
        self.journal = folder / "journal"
        self.log = CallLog(folder / "calls")
        self.provider = Sandbox(journal=self.journal, host=provider.address)
        self.urls: list[str] = []
        self.broker_url = ""
        self.extra = extra  # a pooler's URL may be added later
        self._of_provider = provider
        self._of_clients = clients
        self._others = ExitStack()
        self._processes: set[Running] = set()

    def __enter__(self) -> Site:
        self._others.callback(self.log.close)
        with self._of_provider:
            self._others.enter_context(self.provider)
        self.api_key = services.create_api_key(Client.objects.get_or_create(name="a client")[0]).text
        return self

    def __exit__(self, *_: object) -> None:
        for running in list(self._processes):
            self.end(running)
        self._others.close()

    def environment(self, **extra: str) -> dict[str, str]:
        return environment(**self.provider.environment(), BROKER_URL=self.broker_url) | self.extra | extra

    # --- processes ---------------------------------------------------------------------------------------

    def start_web(
        self, *, on: Place = HERE, port: int = 0, entry: str = "notifier.wsgi", **extra: str
    ) -> tuple[Running, int]:
        """A web server with the arguments of production, once it answers; and its port. Its address joins `urls`."""
        return self._begin_web(on=on, port=port, entry=entry, **extra)()

    def start_worker(
        self, *arguments: str, on: Place = HERE, threads: int = 8, entry: str = "notifier.worker", **extra: str
    ) -> tuple[Running, Worker]:
        """A worker with the arguments of production, once it has its lease; and that."""
        return self._begin_worker(*arguments, on=on, threads=threads, entry=entry, **extra)()

    def start(
        self, *, webs: int = 1, workers: int = 1, threads: int = 8
    ) -> tuple[list[tuple[Running, int]], list[tuple[Running, Worker]]]:
        """Several of them at once, which is quicker than one after another."""
        return self.start_on([HERE] * webs, [HERE] * workers, threads=threads)

    def start_on(
        self, webs: Collection[Place], workers: Collection[Place], *, threads: int = 8
    ) -> tuple[list[tuple[Running, int]], list[tuple[Running, Worker]]]:
        """The same, one in each of these places."""
        begun_webs = [self._begin_web(on=place) for place in webs]
        begun_workers = [self._begin_worker(on=place, threads=threads) for place in workers]
        return [ready() for ready in begun_webs], [ready() for ready in begun_workers]

    def _begin_web(
        self, *, on: Place = HERE, port: int = 0, entry: str = "notifier.wsgi", **extra: str
    ) -> Callable[[], tuple[Running, int]]:
        """Start it; what is returned waits until it answers."""
        with on:
            port = port or free_port()
        url = f"http://{on.address}:{port}"
        arguments = [
            *("--interface", "wsgi", "--host", on.address, "--port", str(port), "--workers", "1", "--no-ws"),
            *("--blocking-threads", "8", "--blocking-threads-idle-timeout", "600"),
            *("--respawn-failed-workers", "--workers-kill-timeout", str(int(WEB_GRACE) - 2)),
        ]
        running = self._start([str(BIN / "granian"), *arguments, f"{entry}:application"], on=on, **extra)

        def answers() -> bool:
            assert running.popen.poll() is None, running.log
            with on, suppress(URLError, OSError):
                return bool(urlopen(f"{url}/healthz", timeout=2).status == 200)
            return False

        def ready() -> tuple[Running, int]:
            eventually(answers, seconds=30, what="the web server's answer")
            if url not in self.urls:
                self.urls.append(url)
            return running, port

        return ready

    def _begin_worker(
        self, *arguments: str, on: Place = HERE, threads: int = 8, entry: str = "notifier.worker", **extra: str
    ) -> Callable[[], tuple[Running, Worker]]:
        """Start it; what is returned waits until it has its lease."""
        patience = str(int(WORKER_GRACE - 5) * 1000)
        command = [str(BIN / "dramatiq"), entry, "--processes", "1", "--threads", str(threads)]
        running = self._start([*command, "--worker-shutdown-timeout", patience, *arguments], on=on, **extra)
        parent = psutil.Process(running.popen.pid)

        def lease() -> Worker | None:
            assert running.popen.poll() is None, running.log
            # Others may begin at this moment, too: it is the one of our own child.
            pids = [child.pid for child in parent.children()]
            return Worker.objects.filter(pid__in=pids).order_by("started_at").last()

        return lambda: (running, eventually(lease, seconds=30, what="a worker's lease"))

    def _start(self, command: list[str], *, on: Place = HERE, **extra: str) -> Running:
        with on:
            running = Running(command, self.environment(**extra))
        self._processes.add(running)
        return running

    def end(self, running: Running) -> None:
        """Kill what is left of it."""
        self._processes.discard(running)
        running.end()

    # --- clients -----------------------------------------------------------------------------------------

    def client(self) -> RetryingClient:
        client = RetryingClient(self.urls, self.api_key, self.log)
        self._others.callback(client.close)
        return client

    def post(self, *texts: str, channel: str = "slack", **fields: object) -> None:
        """Post from one careful client; each must be accepted."""
        client = self.client()
        for text in texts:
            with self._of_clients:
                call = client.post(channel, text, key=f"{channel} {text}", fields=fields)
            assert call is not None, self.log.calls[-1]
            assert call.status == 202, call

    def load(self, **options: object) -> Load:
        return Load(self.urls, self.api_key, self.log, place=self._of_clients, **options)  # type: ignore[arg-type]

    # --- the end -----------------------------------------------------------------------------------------

    def settle(self, *, seconds: float = 60) -> None:
        """Until nothing is pending or sending."""
        eventually(
            lambda: not Notification.objects.filter(status__in=["pending", "sending"]).exists(),
            seconds=seconds,
            what="an outbox without open notifications",
        )

    def check(self, *, excused: Collection[str] = (), given_up: Collection[str] = ()) -> Findings:
        """The three checks, and the books; `given_up`: keys whose clients may have ended with an error."""
        found = check(self.log.acknowledged(), database=database_url(), journal=self.journal, excused=excused)
        assert found.acknowledged, "nothing was accepted: nothing was tried"
        assert self.log.given_up == set(given_up)
        assert not self.log.differing_answers()
        violations = books.audit().violations
        assert not violations, violations
        return found

    def check_no_doubt(self) -> None:
        """What holds where nothing was to be doubted: each received once, and no attempt says otherwise."""
        found = self.check()
        assert not found.doubled
        assert not Attempt.objects.filter(possible_duplicate=True).exists()


def killed(running: Running) -> bool:
    return running.popen.poll() == -signal.SIGKILL
