"""A host vanishes for good: what it held in the database does not outlive it."""

from __future__ import annotations

from time import monotonic

import pytest
from django.db import connection

from tests.eventually import eventually
from tests.faults.accepting import milliseconds
from tests.hosts.installation import Installation
from tests.hosts.network import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FORGOTTEN_WITHIN = 20.0  # seconds; by the kernel's own it is two hours, and its locks and places are taken as long


def sessions(host: Host) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s", [host.address])
        found: int = cursor.fetchone()[0]
    return found


def test_the_sessions_of_a_host_that_vanished_end_within_seconds(installation: Installation, tell: list[str]) -> None:
    site, hosts = installation.site, installation.hosts
    installation.start()
    with site.load(rate=40):
        site.provider.mailbox.wait(100, seconds=60)
    gone = (hosts.workers[0], hosts.webs[0])
    held = [sessions(host) for host in gone]
    assert all(held)
    began = monotonic()
    with hosts.workers[0].silent(), hosts.webs[0].silent():
        eventually(lambda: not any(map(sessions, gone)), seconds=60, what="no sessions of hosts that are gone")
        took = monotonic() - began
    site.settle()
    site.check()
    tell.append(f"a worker's {held[0]} and a web server's {held[1]} sessions ended within {milliseconds(took)}")
    assert took < FORGOTTEN_WITHIN
