"""Web and workers through PgBouncer in transaction mode, over four sessions for all; it breaks, and so does the server.

Where the workers listen past it, and where nobody can be woken.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import monotonic

import psycopg
import pytest

from notifications.lease import DEAD_AFTER
from notifier.deadline import ANSWER_WAIT
from tests.eventually import eventually
from tests.pooler import SESSIONS, Pooler, pgbouncer

from . import test_frozen, test_server_killed, test_sessions
from .servers import Template, short_folder
from .service import Service, events

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[..., AbstractContextManager[Service]]
Pooled = Callable[[Pooler, str], AbstractContextManager[Service]]

RECOVERED_WITHIN = 5.0  # seconds
BUSY = 3.0  # seconds that a worker may be late by when every core of the machine is busy
LONGER_THAN_A_LEASE = DEAD_AFTER + 2  # seconds
# What is asked for at the deadline is answered a moment after it, on a busy machine a long one.
LONGEST = ANSWER_WAIT.total_seconds() + 5


@pytest.fixture(params=["listening", pytest.param("polling", marks=pytest.mark.slow)])
def pooled(request: pytest.FixtureRequest, service_on: ServiceOn) -> Pooled:
    """The service through a pooler in front of the server of this URL."""

    @contextmanager
    def service(pooler: Pooler, server: str) -> Iterator[Service]:
        past_it = {"LISTEN_DATABASE_URL": server} if request.param == "listening" else {}
        with service_on(server, DATABASE_URL=pooler.url, **past_it) as running:
            yield running

    return service


@pytest.fixture
def pooled_on(pooled: Pooled) -> Callable[[str], AbstractContextManager[Service]]:
    """The same with a pooler of its own: for whatever knows of none."""

    @contextmanager
    def service(server: str) -> Iterator[Service]:
        with pgbouncer(server) as pooler, pooled(pooler, server) as running:
            yield running

    return service


def nobody_was_buried(service: Service) -> None:
    for worker in service.running[1:]:
        assert events(worker, "worker.buried") == events(worker, "lease.lost") == 0, worker.log


def waited(seconds: float) -> None:
    until = monotonic() + seconds
    eventually(lambda: monotonic() > until, seconds=seconds + 5, what="the time")


def test_it_is_killed_and_stands_still_and_so_does_a_worker_and_nothing_is_lost(
    template: Template, pooled: Pooled
) -> None:
    with template.server() as server, pgbouncer(server.url) as pooler, pooled(pooler, server.url) as service:
        service.start(workers=2)
        with service.load():
            service.until_more_are_received(20)
            pooler.kill()
            service.until_refused(5)
            pooler.start()
            after_kill = service.until_more_are_received(20)
            with pooler.standing_still():
                waited(LONGER_THAN_A_LEASE)
            after_stop = service.until_more_are_received(20)
            server.kill()
            service.until_refused(5)
            server.start()
            after_restart = service.until_more_are_received(20)
            nobody_was_buried(service)

            killed, dead = monotonic(), service.running.pop(1)
            os.killpg(dead.popen.pid, signal.SIGKILL)
            eventually(lambda: service.query("SELECT count(*) FROM worker") == [(1,)], what="the end of its lease")
            took = monotonic() - killed
        found = service.check()

        print(f"sent again {after_kill:.2f}, {after_stop:.2f} and {after_restart:.2f} s after; buried in {took:.2f} s")
        print(f"{found.acknowledged} acknowledged, {len(found.doubled)} doubled, all marked")
        assert max(after_kill, after_stop, after_restart) < 5 + BUSY
        assert took < RECOVERED_WITHIN + BUSY
        assert max(call.seconds for call in service.log.calls) < LONGEST
        [left] = service.running[1:]
        polls = service.environment().get("LISTEN_DATABASE_URL") is None
        assert events(left, "listen.pooled") == polls, "said once"
        assert not events(left, "listen.elsewhere")


@pytest.mark.slow
def test_a_server_that_is_away_behind_it_for_long_buries_nobody(
    template: Template, pooled_on: test_server_killed.ServiceOn
) -> None:
    test_server_killed.test_a_killed_server_loses_nothing_and_all_recover_by_themselves(template, pooled_on, 20.0)


@pytest.mark.slow
def test_a_server_that_stands_still_behind_it_buries_nobody(
    template: Template, pooled_on: test_server_killed.ServiceOn
) -> None:
    test_server_killed.test_a_server_that_stands_still_loses_nothing_and_buries_nobody(template, pooled_on)


@pytest.mark.slow
def test_while_the_server_behind_it_stands_still_every_client_is_told_so_in_time(
    template: Template, pooled_on: test_frozen.ServiceOn
) -> None:
    test_frozen.test_while_the_server_stands_still_every_client_is_told_so_in_time(template, pooled_on)


@pytest.mark.slow
def test_its_sessions_are_terminated_at_random_and_nothing_is_lost(
    template: Template, pooled_on: test_sessions.ServiceOn
) -> None:
    test_sessions.test_sessions_that_are_terminated_at_random_lose_nothing(template, pooled_on)


@pytest.mark.slow
@pytest.mark.parametrize("patience", ["120", "2"], ids=["it waits", "it gives up"])
def test_while_every_session_is_taken_clients_are_told_so_and_nobody_is_buried(
    template: Template, pooled: Pooled, patience: str
) -> None:
    with (
        template.server() as server,
        pgbouncer(server.url, query_wait_timeout=patience) as pooler,
        pooled(pooler, server.url) as service,
    ):
        service.start(workers=2)
        with service.load():
            service.until_more_are_received(20)
            with ExitStack() as held:
                for _ in range(SESSIONS):
                    one = held.enter_context(psycopg.connect(pooler.url))
                    one.execute("SELECT 1")  # in a transaction, whose session it keeps
                waited(LONGER_THAN_A_LEASE)
                service.until_refused(5)
            after = service.until_more_are_received(20)
        service.check()

        print(f"sent again {after:.2f} s after; {len(service.refused())} refused")
        assert after < 5 + BUSY
        assert max(call.seconds for call in service.log.calls) < LONGEST
        nobody_was_buried(service)


@pytest.mark.slow
def test_a_table_that_is_locked_for_a_while_holds_nobody_as_long(template: Template, pooled: Pooled) -> None:
    locked_for = ANSWER_WAIT.total_seconds() + 6
    with template.server() as server, pgbouncer(server.url) as pooler, pooled(pooler, server.url) as service:
        service.start()
        with service.load(), server.connect() as operator:
            service.until_more_are_received(20)
            with operator.transaction():
                operator.execute("LOCK TABLE notification IN ACCESS EXCLUSIVE MODE")
                waited(locked_for)
            after = service.until_more_are_received(20)
        service.check()

        longest = max(call.seconds for call in service.log.calls)
        print(f"longest call {longest:.2f} s, {len(service.refused())} refused, sending again after {after:.2f} s")
        assert service.refused()
        assert longest < LONGEST
        assert after < 5 + BUSY


@pytest.mark.slow
def test_it_is_turned_to_the_synchronous_standby_and_nothing_is_lost(template: Template, pooled: Pooled) -> None:
    with template.server() as primary, short_folder() as folder:
        standby = primary.new_standby(folder / "data")
        try:
            with pgbouncer(primary.url) as pooler, pooled(pooler, primary.url) as service:
                service.start(workers=2)
                with service.load():
                    service.until_more_are_received(50)
                    primary.kill()
                    service.until_refused(5)
                    standby.promote()
                    pooler.turn_to(standby.url)
                    service.url = standby.url
                    after = service.until_more_are_received(50)
                found = service.check()
                print(f"50 sent {after:.2f} s after; {found.acknowledged} acknowledged, {len(found.doubled)} doubled")
                assert after < 10
                nobody_was_buried(service)
        finally:
            standby.stop()
