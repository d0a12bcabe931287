"""Web and workers through PgBouncer in transaction mode, over four sessions for all; it breaks, and so does the server.

Where the workers listen past it, and where nobody can be woken.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic

import pytest

from notifications.lease import DEAD_AFTER
from tests.eventually import eventually
from tests.pooler import Pooler, pgbouncer

from . import test_frozen, test_server_killed, test_sessions
from .servers import Postgres, Template, short_folder
from .service import Service, events

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]

RECOVERED_WITHIN = 5.0  # seconds
# Seconds that a worker may be late by when every core of the machine is busy.
BUSY = 3.0


@pytest.fixture
def tmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield ""


@pytest.fixture(params=["listening", "polling"])
def listening(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "listening")


@contextmanager
def through(pooler: Pooler, server_url: str, service_on: Callable[..., AbstractContextManager[Service]], *, listening: bool) -> Iterator[Service]:
    extra = {"LISTEN_DATABASE_URL": server_url} if listening else {}
    with service_on(server_url, DATABASE_URL=pooler.url, **extra) as service:
        yield service


def test_whatever_breaks_behind_it_and_of_it_loses_nothing(template: Template, service_on, listening: bool) -> None:
    with template.server() as server, pgbouncer(server.url) as pooler, through(pooler, server.url, service_on, listening=listening) as service:
        service.start(workers=2)
        with service.load():
            service.until_more_are_received(50)
            t = monotonic()
            pooler.kill()
            service.until_refused(5)
            pooler.start()
            print("pooler killed", service.until_more_are_received(20), monotonic() - t)
            t = monotonic()
            with pooler.standing_still():
                until = monotonic() + DEAD_AFTER + 2
                eventually(lambda: monotonic() > until, what="longer than a worker's life")
            print("pooler frozen", service.until_more_are_received(20), monotonic() - t)
            t = monotonic()
            server.kill()
            service.until_refused(5)
            server.start()
            print("server killed", service.until_more_are_received(20), monotonic() - t)
            for worker in service.running[1:]:
                print({name: events(worker, name) for name in ("worker.buried", "lease.lost", "lease.unreachable", "listen.failed", "listen.pooled", "relay.failed", "listen.elsewhere")})
            t = monotonic()
            os.killpg(service.running[1].popen.pid, signal.SIGKILL)
            print("worker killed", service.until_more_are_received(50), monotonic() - t)
            eventually(lambda: len(service._workers()) == 1, what="buried")
            print("buried after", monotonic() - t)
            service.running.pop(1)
        found = service.check()
        print(found.acknowledged, found.statuses, len(found.doubled))
        import collections
        for r in service.running:
            import json
            c = collections.Counter()
            for line in r.log.splitlines():
                try:
                    c[json.loads(line)["event"]] += 1
                except Exception:
                    print(line[:300])
            print(c)
        print("longest", max(c.seconds for c in service.log.calls), len(service.refused()))
