"""The service's real processes, against the test's own database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

from django.db import connection

from notifications.models import Worker
from tests.eventually import eventually
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


class Running:
    """One process that a test started, in a group of its own."""

    def __init__(self, command: list[str], environment: Mapping[str, str], root: Path = ROOT) -> None:
        # A file, not a pipe: nobody need read it for the process to go on.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `end`
        self.popen = subprocess.Popen(
            command, cwd=root, env=dict(environment), stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 20) -> int:
        return self.popen.wait(timeout=seconds)

    def end(self) -> None:
        """Kill whatever is left of the group."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=10)
        self._log.close()


def database_url(name: str = "") -> str:
    """The URL of the database that this test uses, or of another one on its server."""
    known = connection.settings_dict | ({"NAME": name} if name else {})
    user = quote(known["USER"], safe="")
    password = f":{quote(known['PASSWORD'], safe='')}" if known.get("PASSWORD") else ""
    options = {**known["OPTIONS"], "host": known["HOST"]} if str(known["HOST"]).startswith("/") else known["OPTIONS"]
    place = "" if str(known["HOST"]).startswith("/") else f"{known['HOST']}:{known['PORT'] or 5432}"
    query = {name: value for name, value in options.items() if name in {"host", "sslmode"}}
    return f"postgresql://{user}{password}@{place}/{quote(known['NAME'], safe='')}?{urlencode(query)}"


def plain_environment(**extra: str) -> dict[str, str]:
    """What any child needs, and nothing of the developer's."""
    kept = ("PATH", "HOME", "LANG", "DATA_DIR", "SECRET_KEY", "NO_PROXY", "SLACK_RATE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"NOTIFIER_ENV_FILE": ""} | extra


def environment(**extra: str) -> dict[str, str]:
    """The same, with this test's database."""
    metrics = str(Path(os.environ["DATA_DIR"]) / "metrics of children")  # not left behind in the temporary folder
    return plain_environment(DATABASE_URL=database_url(), ALLOWED_HOSTS="127.0.0.1", METRICS_DIR=metrics) | extra


@contextmanager
def worker(*arguments: str, threads: int = 8, root: Path = ROOT, **extra: str) -> Iterator[Running]:
    """A worker as it is run in production; ready once it has its lease. `root`: where the service's own code is."""
    before = set(Worker.objects.values_list("id", flat=True))
    command = [str(BIN / "dramatiq"), "notifier.worker", "--processes", "1", "--threads", str(threads), *arguments]
    running = Running(command, environment(**extra), root)
    try:
        eventually(
            lambda: running.popen.poll() is not None or set(Worker.objects.values_list("id", flat=True)) - before,
            seconds=30,
            what="a worker's lease",
        )
        assert running.popen.poll() is None, running.log
        yield running
    except BaseException:
        print(running.log)  # beside the failure
        raise
    finally:
        running.end()


@contextmanager
def starting_web(
    *, processes: int = 1, threads: int = 8, root: Path = ROOT, **extra: str
) -> Iterator[tuple[Running, str]]:
    """A web server as it is run in production, and what will be its address. `root`: as of a worker."""
    port = free_port()
    command = [
        str(BIN / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", str(processes), "--blocking-threads", str(threads), "--no-ws", "notifier.wsgi:application",
    ]  # fmt: skip
    running = Running(command, environment(**extra), root)
    try:
        yield running, f"http://127.0.0.1:{port}"
    except BaseException:
        print(running.log)  # beside the failure
        raise
    finally:
        running.end()


@contextmanager
def web(*, processes: int = 1, threads: int = 8, root: Path = ROOT, **extra: str) -> Iterator[tuple[Running, str]]:
    """The same, once it answers."""
    with starting_web(processes=processes, threads=threads, root=root, **extra) as (running, url):

        def answers() -> bool:
            assert running.popen.poll() is None, running.log
            try:
                return urlopen(f"{url}/healthz", timeout=2).status == 200
            except (URLError, OSError):
                return False

        eventually(answers, seconds=30, what="the web server's answer")
        yield running, url


@dataclass(frozen=True)
class Made:
    """What `make run` made: its folder to paste in, its addresses, and the key that it shows."""

    folder: Path
    url: str
    sandbox: str
    key: str = field(repr=False)


@contextmanager
def made() -> Iterator[Made]:
    """All that `make run` starts, with an embedded Postgres, on other ports; it must end well."""
    web_port, sandbox_port, smtp_port = (str(free_port()) for _ in range(3))
    with tempfile.TemporaryDirectory(prefix="notifier-made-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        environment = plain_environment(
            DATA_DIR=str(folder / ".data"),
            WEB_PORT=web_port,
            SANDBOX_PORT=sandbox_port,
            SANDBOX_SMTP_PORT=smtp_port,
            WORKER_PROCESSES="1",
        )
        environment.pop("SECRET_KEY")
        running = Running([sys.executable, "manage.py", "up"], environment)
        try:
            eventually(lambda: "\nready" in running.log or running.popen.poll(), seconds=90, what="ready")
            assert running.popen.poll() is None, running.log
            key = (folder / ".data/secrets/api_key").read_text().strip()
            yield Made(folder, f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{sandbox_port}", key)
            running.terminate()
            assert running.wait(60) == 0
        finally:
            running.end()
