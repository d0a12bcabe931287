"""The database server dies or stands still under load, and comes back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic

import pytest

from notifications.lease import DEAD_AFTER
from tests.eventually import eventually

from .servers import Template
from .service import WEB_THREADS, Service, events

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]


@pytest.mark.parametrize("down", [0.0, pytest.param(20.0, marks=pytest.mark.slow)], ids=["for a moment", "for long"])
def test_a_killed_server_loses_nothing_and_all_recover_by_themselves(
    template: Template, service_on: ServiceOn, down: float
) -> None:
    with template.server() as server, service_on(server.url) as service:
        service.start(workers=2)
        with service.load():
            service.until_more_are_received(50)
            killed = monotonic()
            server.kill()
            service.until_refused(10)
            eventually(lambda: monotonic() - killed >= down, seconds=down + 5, what="the end of the outage")
            server.start()
            back = service.log.now()
            delivering = service.until_more_are_received(20)
        found = service.check()

        first = min(call.at + call.seconds for call in service.log.calls if call.status == 202 and call.at > back)
        print(f"accepted again after {first - back:.2f} s, delivered again after {delivering:.2f} s")
        print(f"{found.acknowledged} acknowledged, {len(found.doubled)} doubled, all marked")
        assert len(service.refused(since=back)) <= WEB_THREADS, "each thread finds its connection broken once at most"
        assert delivering < 5, f"{delivering:.2f} s"
        for worker in service.running[1:]:
            assert events(worker, "worker.buried") == 0, "an outage buries nobody"
            assert events(worker, "lease.lost") == 0


@pytest.mark.slow
def test_a_server_that_stands_still_loses_nothing_and_buries_nobody(template: Template, service_on: ServiceOn) -> None:
    with template.server() as server, service_on(server.url) as service:
        service.start(workers=2)
        with service.load():
            service.until_more_are_received(50)
            with server.standing_still():
                until = monotonic() + DEAD_AFTER + 2
                eventually(lambda: monotonic() > until, what="longer than a worker's life")
            delivering = service.until_more_are_received(20)
        found = service.check()

        print(f"20 sent {delivering:.2f} s after it went on; {len(found.doubled)} doubled, all marked")
        assert delivering < 5
        for worker in service.running[1:]:
            assert events(worker, "worker.buried") == 0
            assert events(worker, "lease.lost") == 0
