"""A real PgBouncer in transaction mode on loopback, in front of a Postgres of a test's, with few sessions for all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
import pytest

from tests.eventually import eventually
from tests.ports import free_port

# What docs/poolers.md says; a test holds the two together.
SETTINGS: Final[dict[str, str]] = {
    "pool_mode": "transaction",
    "server_login_retry": "1",
    "server_connect_timeout": "3",
    "tcp_user_timeout": "3000",
    "tcp_keepidle": "5",
    "tcp_keepintvl": "2",
    "tcp_keepcnt": "3",
}
SESSIONS: Final = 4  # of Postgres, for all clients together: fewer than there are threads that want one
# One that knows of prepared statements, where the system's own is older; CI and people may have it or not.
NEWER: Final = "NOTIFIER_TESTS_PGBOUNCER"


class Pooler:
    """One PgBouncer; its `url` stays the same when it is killed and started, or turned to another server."""

    def __init__(self, program: str, target: str, folder: Path, settings: Mapping[str, str]) -> None:
        self._program = program
        self._folder = folder
        self._settings = {**SETTINGS, "default_pool_size": str(SESSIONS), **settings}
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._target: dict[str, Any] = {}
        self.turn_to(target)

    @property
    def url(self) -> str:
        return f"postgresql://{self._target['user']}@127.0.0.1:{self._port}/{quote(self._target['dbname'])}"

    def turn_to(self, target: str) -> None:
        """Lead to the database of this URL from now on: an operator's change of the file, and a reload."""
        self._target = dict(psycopg.conninfo.conninfo_to_dict(target))
        names = ("host", "port", "dbname", "user", "password")
        known = " ".join(f"{name}={self._target[name]}" for name in names if name in self._target)
        own = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        (self._folder / "pgbouncer.ini").write_text(
            f"[databases]\n{self._target['dbname']} = {known}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self._port}\nunix_socket_dir =\nauth_type = any\nserver_tls_sslmode = disable\n"
            f"server_round_robin = 1\n{own}"
        )
        if self._server is not None:
            self._server.send_signal(signal.SIGHUP)

    def start(self) -> None:
        self._server = subprocess.Popen(
            [self._program, "--quiet", str(self._folder / "pgbouncer.ini")],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._account(),
        )
        eventually(self._listens, what="the pooler")

    def kill(self) -> None:
        """SIGKILL: every connection through it ends. (At SIGTERM newer ones wait for their clients, for ever.)"""
        if self._server is not None:
            self._server.kill()
            self._server.wait(timeout=10)
            self._server = None

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Connections stand, new ones are taken by the kernel, and nobody is answered."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def _account(self) -> dict[str, Any]:
        """It refuses to be root; on a private socket it is let in as the user whose folder that is."""
        if os.geteuid() != 0:
            return {}
        host = str(self._target.get("host", ""))
        if not host.startswith("/"):
            return {"user": "nobody"}
        owner = Path(host).stat()
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}

    def _listens(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"{self._program} ended with {self._server.returncode}"
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


@contextmanager
def pgbouncer(target: str, *, newer: bool = False, **settings: str) -> Iterator[Pooler]:
    """One that leads to the database of this URL. `newer`: 1.22 or later, with prepared statements.

    `settings`: PgBouncer's own, beside those above.
    """
    program = _newer() if newer else _installed()
    if newer:
        settings = {"max_prepared_statements": "200", **settings}
    with tempfile.TemporaryDirectory(prefix="notifier-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        pooler = Pooler(program, target, folder, settings)
        pooler.start()
        try:
            yield pooler
        finally:
            pooler.kill()


def _installed() -> str:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    return program


def _newer() -> str:
    program = os.environ.get(NEWER) or _installed()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    major, minor = (int(part) for part in said.split()[1].split(".")[:2])
    if (major, minor) < (1, 22):
        pytest.skip(f"pgbouncer {major}.{minor} knows of no prepared statements; {NEWER} may name a newer one")
    return program
