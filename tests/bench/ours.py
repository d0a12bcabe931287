"""Our own service as it is run in production, each part a process of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep
from typing import Final
from urllib.request import urlopen
from uuid import uuid4

import psycopg

from notifications.states import Priority
from notifier import lifeline
from notifier.up.commands import web_command, worker_command
from tests.bench.peers.remaining import Remaining
from tests.bench.servers import Postgres
from tests.ports import free_port

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PROCESSES: Final = 2
READY_WITHIN: Final = 60.0  # seconds

# As a client's would be: about 100 bytes of body, a recipient, a key.
FILL: Final = """
INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at)
SELECT uuidv7(), %(client)s, %(channel)s, %(lane)s, %(recipient)s, %(subject)s,
    'A message of ordinary length, which says what happened, to whom and what can be done about it now: ' || n, '{}',
    %(priority)s, now(), 'pending', 0, 0, 0, false, '', '', uuidv7()::text, 'order-' || n, now()
FROM generate_series(1, %(count)s) AS n
"""
WRITTEN: Final = "notification, attempt, idempotency_record, listing, label, receipt, event, lane_state"
RECIPIENTS: Final = {"slack": "default", "email": "someone@example.com", "sms": "+14155552671"}


class Service:
    """Our service on one database of the bench's Postgres."""

    def __init__(self, server: Postgres, database: str = "ours", **environment: str) -> None:
        self.url = server.fresh(database)
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "NOTIFIER_ENV_FILE": "",
            "NOTIFIER_DIE_WITH_PARENT": "on",
            "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
            "DATABASE_URL": self.url,
            "DATA_DIR": str(server.folder),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": "127.0.0.1",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
            "SLACK_WEB_HOOK_URL": "http://127.0.0.1:1/services/T/B/X",
            "SLACK_RATE": "off",  # how fast we are is measured, not how fast Slack lets us be
            "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
            "TWILIO_AUTH_TOKEN": "0" * 32,
            "TWILIO_FROM_NUMBER": "+15005550006",
            "EMAIL_SENDER": "notify@example.com",
            "SMTP_HOST": "127.0.0.1",
            **environment,
        }
        self.manage("migrate", "--verbosity", "0")
        self.api_key = self.manage("create_api_key", "bench")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url, autocommit=True)

    # --- its processes -----------------------------------------------------------------------------------

    @contextmanager
    def web(self, *, processes: int = PROCESSES) -> Iterator[str]:
        """A web server as `make run` starts it; its address."""
        port = free_port()
        command = web_command("127.0.0.1", port, processes)
        with self._running(command) as server:
            url = f"http://127.0.0.1:{port}"
            _await(lambda: _answers(f"{url}/healthz"), server)
            yield url

    @contextmanager
    def workers(self, *, processes: int = PROCESSES, threads: int = 32, queue: str = "") -> Iterator[None]:
        """Worker processes as `make run` starts them, each with its lease; all threads for one queue, or for each."""
        served = ("--queues", queue) if queue else ()
        with ExitStack() as stack, self.connect() as connection:
            for _ in range(processes):
                server = stack.enter_context(self._running((*worker_command(threads), *served)))
            leases = "SELECT 1 FROM worker OFFSET %s"
            _await(lambda: connection.execute(leases, [processes - 1]).fetchone() is not None, server)
            yield

    @contextmanager
    def a_lease(self) -> Iterator[None]:
        """A worker that is alive and takes nothing: with nobody alive the web would spare itself the nudges."""
        stop = threading.Event()
        lease = uuid4()
        with self.connect() as connection:
            connection.execute("INSERT INTO worker VALUES (%s, 0, 'bench', 1, now())", [lease])

            def beat() -> None:
                while not stop.wait(0.5):
                    connection.execute("UPDATE worker SET beat = beat + 1 WHERE id = %s", [lease])

            thread = threading.Thread(target=beat)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                connection.execute("DELETE FROM worker WHERE id = %s", [lease])

    # --- its outbox --------------------------------------------------------------------------------------

    def clear(self) -> None:
        with self.connect() as connection:
            connection.execute(f"TRUNCATE {WRITTEN}")

    def fill(
        self,
        count: int,
        *,
        channel: str = "slack",
        lane: str = "",
        client: int = 1,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """So many notifications that are due now; whoever has workers running wakes them by something else."""
        with self.connect() as connection:
            connection.execute(
                FILL,
                {
                    "count": count,
                    "client": client,
                    "priority": priority,
                    "channel": channel,
                    "lane": lane or channel,
                    "recipient": RECIPIENTS[channel],
                    "subject": "What happened" if channel == "email" else "",
                },
            )
            connection.execute("ANALYZE notification")

    def accept_in_process(
        self, count: int, *, priority: Priority = Priority.NORMAL, ahead: float = 0.0
    ) -> dict[int, int]:
        """Accept so many one after the other: their numbers, and the moment (ns) at which each was committed.

        `ahead`: seconds until each is due; then it is that moment.
        """
        command = [sys.executable, "-m", "tests.bench.accepting", str(count), priority.name, str(ahead)]
        ran = subprocess.run(command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, check=True)
        return {int(number): int(moment) for number, moment in map(bytes.split, ran.stdout.splitlines())}

    # --- how ---------------------------------------------------------------------------------------------

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        ran = subprocess.run(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        return ran.stdout.decode().strip()

    @contextmanager
    def _running(self, command: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(lifeline.end_with_parent, parent=os.getpid()),  # a bench that was killed leaves nobody
        )
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


class Outbox(Service):
    """The same as a queue that empties itself into nowhere (`tests.bench.peers.Drains`)."""

    def __init__(self, server: Postgres, database: str, *, nowhere: bool = True, **environment: str) -> None:
        super().__init__(server, database, BENCH_NOWHERE="1" if nowhere else "", **environment)
        self.name = "ours"
        self._remaining = Remaining(self.url, "notification", open_when="status <> 'sent'")

    def fill(self, count: int) -> None:  # type: ignore[override] - a queue of the bench has one lane
        self.clear()
        self.add(count)
        self.watch()

    def add(self, count: int) -> None:
        """More of them, behind what is there."""
        super().fill(count)

    def watch(self) -> None:
        """Count from here: `begun` and `done` are of what is pending now."""
        self._remaining.restart()

    @contextmanager
    def working(self) -> Iterator[None]:
        with self.workers():
            yield

    def begun(self) -> bool:
        return self._remaining.begun()

    def done(self) -> bool:
        return self._remaining.done()


def _await(reached: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    until = monotonic() + READY_WITHIN
    while not reached():
        if server.poll() is not None or monotonic() > until:
            raise SystemExit(f"{' '.join(map(str, server.args))} did not become ready")
        sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False
