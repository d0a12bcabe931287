"""One load, in which first a node of the broker dies and then the primary: what clients see of either."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from statistics import median, quantiles
from typing import Final

import pytest

from tests.faults.clients import Call, CallLog
from tests.rabbitmq_cluster import cluster

from .servers import Template, address, short_folder
from .service import Service, events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ServiceOn = Callable[..., AbstractContextManager[Service]]
EACH: Final = 300  # notifications accepted in each phase
ANSWERED: Final = 0.1  # seconds, of most requests


def test_a_node_of_the_broker_dies_and_then_the_primary(template: Template, service_on: ServiceOn) -> None:
    with cluster() as nodes, template.server() as primary, short_folder() as folder:
        standby = primary.new_standby(folder / "data")
        try:
            url = address(primary, standby, target_session_attrs="read-write")
            with service_on(url, BROKER_URL=nodes.url, BROKER_QUEUE_TYPE="quorum") as service:
                service.start(workers=2)
                with service.load():
                    service.until_more_are_accepted(20)  # its first connections are made
                    told = _phase(service, "all is well")

                    nodes.consumers_of_slack()[0].kill()
                    without_node = _phase(service, "a node of the broker is dead")

                    died = service.log.now()
                    primary.kill()
                    service.until_refused(5)
                    standby.promote()
                    service.until_more_are_accepted(EACH)
                    lives = _told(service.log, "the primary is dead, a standby promoted", since=died)
                    after = _phase(service, "on the standby")
                service.check()

                answers = sorted(call.at + call.seconds for call in service.log.calls if call.status == 202)
                gap = max(later - at for at, later in pairwise(answers))
                print(f"nothing was accepted for {gap:.2f} s")
                assert max(median(times) for times in (told, without_node, lives, after)) < ANSWERED
                for worker in service.running[1:]:
                    assert events(worker, "worker.buried") == 0, "neither buries anybody"
        finally:
            standby.stop()


def _phase(service: Service, name: str) -> list[float]:
    began = service.log.now()
    service.until_more_are_accepted(EACH)
    return _told(service.log, name, since=began)


def _told(log: CallLog, name: str, *, since: float) -> list[float]:
    """Seconds until each notification was accepted whose first try began since, however often it was tried."""
    begun: dict[str, float] = {}
    accepted: dict[str, float] = {}
    for call in sorted(log.calls, key=_begun):
        begun.setdefault(call.key, call.at)
        if call.status == 202:
            accepted.setdefault(call.key, call.at + call.seconds)
    times = [at - begun[key] for key, at in accepted.items() if begun[key] >= since]
    p99 = quantiles(times, n=100)[98]
    print(f"{name}: {len(times)} accepts, p50 {median(times) * 1000:.1f}, p99 {p99 * 1000:.1f} ms")
    return times


def _begun(call: Call) -> float:
    return call.at
