"""The primary dies for good, and its synchronous standby takes over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from .servers import Template, address, short_folder
from .service import WEB_THREADS, Service, events

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]


def test_a_failover_to_a_synchronous_standby_loses_nothing(template: Template, service_on: ServiceOn) -> None:
    with template.server() as primary, short_folder() as folder:
        standby = primary.new_standby(folder / "data")
        try:
            # As an operator would write it: whichever of the two is the primary.
            url = address(primary, standby, target_session_attrs="read-write")
            with service_on(url) as service:
                service.start(workers=2)
                with service.load():
                    service.until_more_are_received(50)
                    primary.kill()
                    service.until_refused(5)
                    standby.promote()
                    promoted = service.log.now()
                    delivering = service.until_more_are_received(50)
                found = service.check()

                answers = [call.at + call.seconds for call in service.log.calls if call.status == 202]
                accepting = min(at for at in answers if at > promoted) - promoted
                print(f"accepted again {accepting:.2f} s after the promotion, 50 sent after {delivering:.2f} s")
                print(f"{found.acknowledged} acknowledged, {len(found.doubled)} doubled, all marked")
                assert len(service.refused(since=promoted)) <= WEB_THREADS
                assert delivering < 10
                for worker in service.running[1:]:
                    assert events(worker, "worker.buried") == 0, "a failover buries nobody"
        finally:
            standby.stop()
