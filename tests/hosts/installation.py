"""The service on several hosts, as a test breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from notifications.models import Worker
from tests.faults.database.servers import Template
from tests.faults.site import Site
from tests.hosts.database import Database, database, looked_at
from tests.hosts.network import Host, Network
from tests.processes import Running


@dataclass(frozen=True, slots=True)
class Hosts:
    webs: list[Host]
    workers: list[Host]
    databases: list[Host]  # the second one is for a standby
    broker: Host
    provider: Host
    clients: Host


@dataclass(frozen=True, slots=True)
class Installation:
    """Its hosts, the database on the first of its own, and the site, of which no process runs yet."""

    hosts: Hosts
    database: Database
    site: Site

    def start(self, *, threads: int = 8) -> list[tuple[Running, Worker]]:
        """A web server on each web host and a worker on each worker host; the workers, in the hosts' order."""
        _, workers = self.site.start_on(self.hosts.webs, self.hosts.workers, threads=threads)
        return workers


@contextmanager
def installed(template: Template, folder: Path) -> Iterator[Installation]:
    with Network() as network:
        hosts = Hosts(
            webs=[network.host(f"web{n}") for n in (1, 2)],
            workers=[network.host(f"worker{n}") for n in (1, 2, 3)],
            databases=[network.host(f"database{n}") for n in (1, 2)],
            broker=network.host("broker"),
            provider=network.host("provider"),
            clients=network.host("clients"),
        )
        with database(template, hosts.databases[0]) as made, looked_at(made.server):
            site = Site(
                folder,
                provider=hosts.provider,
                clients=hosts.clients,
                DATABASE_URL=made.url(),
                ALLOWED_HOSTS=",".join(host.address for host in hosts.webs),
            )
            with site:
                yield Installation(hosts, made, site)
