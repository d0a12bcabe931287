"""Sessions end, are refused, and wait: what an administrator, a full server and a migration do to ours."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from time import monotonic

import psycopg
import pytest

from channels.sandbox.faults import Fault, Kind
from tests.eventually import eventually

from .servers import Postgres, Session, Template
from .service import WEB_THREADS, Service, events

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]

TERMINATIONS = 40
LOCKED_FOR = 6.0  # seconds
NEEDED_TO_ACCEPT = {"notification", "idempotency_record", "api_key"}
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'notifier%' AND backend_type = 'client backend'"


def test_sessions_that_are_terminated_at_random_lose_nothing(template: Template, service_on: ServiceOn) -> None:
    chance = random.Random(3)
    with template.server() as server, service_on(server.url) as service, server.connect() as operator:
        service.start(workers=2)
        with service.load():
            service.until_more_are_received(20)
            for _ in range(TERMINATIONS):
                terminate_some(operator, chance)
                # Some way on, so that each meets the service in the middle of something else.
                service.until_more_are_received(1)
            service.until_more_are_accepted(20)
        found = service.check()

        print(f"{TERMINATIONS} terminated: {found.acknowledged} acknowledged, {len(found.doubled)} doubled, all marked")
        for worker in service.running[1:]:
            assert events(worker, "worker.buried") == 0
            assert events(worker, "lease.lost") == 0


def terminate_some(operator: Session, chance: random.Random) -> None:
    """One of ours, and now and then all of them at once."""
    pids = sorted(pid for (pid,) in operator.execute(OURS))
    for pid in chance.sample(pids, min(len(pids), 1 if chance.random() < 0.8 else len(pids))):
        operator.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_with_every_connection_taken_the_web_says_so_and_the_workers_go_on(
    template: Template, service_on: ServiceOn
) -> None:
    with template.server(max_connections="24") as server, service_on(server.url) as service, ExitStack() as held:
        service.start()
        # However long the posts take: most of them wait when no connection is left.
        service.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=1000))
        client = service.client()
        for number in range(50):
            assert client.post("slack", f"waiting {number}", key=f"waiting {number}")
        take_every_connection(server, held)
        before = service.provider.mailbox.taken
        service.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=20))
        # More clients at once than were ever served: their threads have no connection yet.
        with service.load(clients=WEB_THREADS, rate=0):
            service.until_refused(10)
            service.provider.mailbox.wait(50, seconds=30)
            held.close()
            service.provider.faults.clear()
            service.until_more_are_accepted(20)
        service.check()

        assert before < 50, "the worker had something left to do"


def take_every_connection(server: Postgres, held: ExitStack) -> None:
    def take_all() -> None:
        while True:
            held.enter_context(server.connect(application_name="somebody else"))

    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        take_all()


@pytest.mark.parametrize(
    "table",
    [
        "notification",
        pytest.param("idempotency_record", marks=pytest.mark.slow),
        pytest.param("api_key", marks=pytest.mark.slow),
        pytest.param("worker", marks=pytest.mark.slow),
        pytest.param("lane_state", marks=pytest.mark.slow),
    ],
)
def test_a_table_that_is_locked_for_a_while_holds_nobody_as_long(
    template: Template, service_on: ServiceOn, table: str
) -> None:
    with template.server() as server, service_on(server.url) as service, server.connect() as operator:
        service.start()
        with service.load():
            service.until_more_are_received(20)
            with operator.transaction():
                operator.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
                until = monotonic() + LOCKED_FOR
                eventually(lambda: monotonic() > until, what="the end of the migration")
            delivering = service.until_more_are_received(20)
        service.check()

        longest = max(call.seconds for call in service.log.calls)
        print(f"longest call {longest:.2f} s, {len(service.refused())} refused, sending again after {delivering:.2f} s")
        assert longest < LOCKED_FOR - 1
        assert bool(service.refused()) == (table in NEEDED_TO_ACCEPT)
        assert delivering < 5
        assert events(service.running[1], "lease.lost") == 0
