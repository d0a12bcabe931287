"""One load, in which first a node of the broker dies and then the primary: what clients see of either."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.faults.accepting import Accepting, accepting
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
                    phases = [_phase(service, "all is well")]

                    nodes.consumers_of_slack()[0].kill()
                    phases.append(_phase(service, "a node of the broker is dead"))

                    died = service.log.now()
                    primary.kill()
                    service.until_refused(5)
                    standby.promote()
                    phases.append(_phase(service, "the primary is dead, a standby promoted", since=died))
                    phases.append(_phase(service, "on the standby"))
                service.check()

                assert max(phase.median for phase in phases) < ANSWERED
                for worker in service.running[1:]:
                    assert events(worker, "worker.buried") == 0, "neither buries anybody"
        finally:
            standby.stop()


def _phase(service: Service, name: str, *, since: float | None = None) -> Accepting:
    """Until EACH more are accepted; of those that began since, or now."""
    began = service.log.now() if since is None else since
    service.until_more_are_accepted(EACH)
    found = accepting(service.log, since=began)
    print(f"{name}: {found}")
    return found
