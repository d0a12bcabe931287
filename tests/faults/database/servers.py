"""Postgres servers of a test's own, which it may kill, fill and leave behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import psutil
import psycopg

from notifier import embedded
from notifier.embedded import account, binaries, place
from tests import processes
from tests.eventually import eventually

Session = psycopg.Connection[tuple[Any, ...]]
STANDBY: Final = "standby"


def address(*servers: Postgres, **options: str) -> str:
    """The DATABASE_URL of one server, or of several of which libpq tries one after the other."""
    query = {"host": ",".join(str(server.sockets) for server in servers), **options}
    return f"postgresql://{place.OWNER}@/{place.DATABASE}?{urlencode(query)}"


class Postgres:
    """One server, on a Unix socket in a private folder. Its `url` stays the same when it is killed and started."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._server = embedded.Server(data_dir, settings)

    @property
    def sockets(self) -> Path:
        return place.home(self.data_dir) / "socket"

    @property
    def url(self) -> str:
        return address(self)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL for all its processes at once: no session is told, nothing is written down."""
        killed = self._processes()
        for one in killed:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(killed, timeout=10)
        self._server.stop()  # forgets it, so that it can be started again

    def start_again(self) -> None:
        """Start it if it has ended; return when it takes connections."""

        def answers() -> bool:
            if not self.alive():
                self.stop()
                self.start()
            with suppress(psycopg.OperationalError), self.connect():
                return True
            return False

        eventually(answers, what="a server that takes connections again")

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Every process stopped (SIGSTOP): connections stand, new ones are taken, and nobody is answered."""
        stopped = self._processes()
        for one in stopped:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        try:
            yield
        finally:
            for one in reversed(stopped):
                with suppress(psutil.NoSuchProcess):
                    one.resume()

    def _processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self._server.pid)
        return [parent, *parent.children(recursive=True)]

    def alive(self) -> bool:
        return self._server.alive()

    def connect(self, **options: Any) -> Session:
        return psycopg.connect(self.url, autocommit=True, **options)

    def new_standby(self, data_dir: Path, settings: Mapping[str, str] | None = None, *, source: str = "") -> Postgres:
        """A standby that follows this server, started; commits here wait for it from now on.

        `source`: how it reaches this one, where that is not by the socket.
        """
        owner = account.of_cluster(place.cluster(self.data_dir))
        data_dir.mkdir(mode=0o711)
        home = place.make_home(data_dir, owner)
        theirs = home / "theirs"  # a folder into which pg_basebackup, which is not root, may write
        theirs.mkdir(mode=0o700)
        owner.own(theirs)
        source = f"{source or f'host={self.sockets}'} user={place.OWNER} application_name={STANDBY}"
        run(owner, "pg_basebackup", "-D", str(theirs / "cluster"), "-d", source, "-R", "-c", "fast")
        (theirs / "cluster").rename(home / "cluster")
        standby = Postgres(data_dir, settings)
        standby.start()
        with self.connect() as operator:
            operator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
            operator.execute("SELECT pg_reload_conf()")
            eventually(
                lambda: operator.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone(),
                what="a synchronous standby",
            )
        return standby

    def promote(self) -> None:
        """Make a standby the primary."""
        files = place.cluster(self.data_dir)
        owner = account.of_cluster(files)
        run(owner, "pg_ctl", "promote", "-D", str(files), "--wait")


def run(owner: account.Account, program: str, *arguments: str) -> None:
    """Run one of Postgres' own programs as the user to whom the server's files belong."""
    done = subprocess.run(
        [binaries.found(owner) / program, *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        env={"LC_ALL": "C"},
        check=False,
        **owner.arguments(),
    )
    assert done.returncode == 0, done.stderr


def manage(*command: str, **environment: str) -> str:
    """What a management command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=processes.ROOT,
        env=processes.plain_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Template:
    """A data folder of a stopped server, migrated, with one client: copied for each test."""

    data_dir: Path
    api_key: str

    @contextmanager
    def server(self, *, within: Path | None = None, **settings: str) -> Iterator[Postgres]:
        """A running server with these settings of Postgres; its files in a new folder below `within`."""
        with short_folder(within) as folder:
            copied = folder / "data"
            subprocess.run(["cp", "-a", str(self.data_dir), str(copied)], check=True)
            server = Postgres(copied, settings)
            server.start()
            try:
                yield server
            finally:
                server.stop()


@contextmanager
def template(environment: Mapping[str, str]) -> Iterator[Template]:
    with short_folder() as folder:
        server = Postgres(folder / "data")
        server.start()
        try:
            for command in (["migrate", "--verbosity", "0"], ["create_api_key", "a client"]):
                said = manage(*command, DATABASE_URL=server.url, **environment)
        finally:
            server.stop()
        yield Template(folder / "data", said.strip())


@contextmanager
def short_folder(within: Path | None = None) -> Iterator[Path]:
    """A folder through which the server's user may pass, its name short enough for a socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="notifier-", dir=within))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
