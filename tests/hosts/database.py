"""A Postgres on a host: reached over the network with a password, and by the test itself through its socket.

A socket in the file system is the same from every network, so that the test sees what is in a database that is cut off.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from notifier.embedded import place
from tests.faults.database.servers import Postgres, Template, short_folder
from tests.hosts.network import SUBNET, Host

PORT = place.PORT
# Who comes by the socket is the test, and has passed a private folder's door.
ADMITTED = f"""
local all all trust
host all all {SUBNET}.0/24 scram-sha-256
host replication all {SUBNET}.0/24 scram-sha-256
"""


class Database:
    """A server on a host; with `standby` on another, too."""

    def __init__(self, host: Host, server: Postgres, password: str, settings: dict[str, str]) -> None:
        self.host = host
        self.server = server
        self._password = password
        self._settings = settings

    def url(self, *others: Database) -> str:
        """As a production machine is given it: of several servers, whichever can be written to."""
        servers = ",".join(f"{each.host.address}:{PORT}" for each in (self, *others))
        wanted = "?target_session_attrs=read-write" if others else ""
        return f"postgresql://{place.OWNER}:{self._password}@{servers}/{place.DATABASE}{wanted}"

    @contextmanager
    def standby(self, host: Host) -> Iterator[Database]:
        """A synchronous one on another host, which follows over the network."""
        settings = self._settings | {"listen_addresses": host.address}
        source = f"host={self.host.address} port={PORT} password={self._password}"
        with short_folder() as folder:
            with host:
                server = self.server.new_standby(folder / "data", settings, source=source)
            try:
                yield Database(host, server, self._password, settings)
            finally:
                server.stop()


@contextmanager
def database(template: Template, host: Host) -> Iterator[Database]:
    """With the durability that Postgres has by default."""
    password = secrets.token_hex(16)
    with short_folder() as folder:
        admitted = folder / "pg_hba.conf"
        admitted.write_text(ADMITTED)
        admitted.chmod(0o644)
        settings = {"listen_addresses": host.address, "hba_file": str(admitted)}
        with host:
            running = template.server(**settings)
            server = running.__enter__()
        try:
            with server.connect() as operator:
                operator.execute(f"ALTER ROLE {place.OWNER} PASSWORD '{password}'".encode())
            yield Database(host, server, password, settings)
        finally:
            running.__exit__(None, None, None)


@contextmanager
def looked_at(server: Postgres) -> Iterator[None]:
    """The ORM of the test looks into this server."""
    settings = connection.settings_dict
    before = dict(settings)
    connection.close()
    settings.update(NAME=place.DATABASE, USER=place.OWNER, PASSWORD="", HOST=str(server.sockets), PORT=PORT)
    try:
        yield
    finally:
        connection.close()
        settings.update(before)


def folder_of(server: Postgres) -> Path:
    return place.cluster(server.data_dir)
