"""The core of these faults once more, with web and workers through PgBouncer in transaction mode, over four sessions.

Where the workers listen past it, where nobody can be woken, and with prepared statements where one is there that knows
of them. What breaks behind it, and of itself, is in database/test_pooled.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import pytest

from tests.faults import test_sigterm, test_web_killed, test_worker_killed
from tests.faults.campaign import Campaign
from tests.faults.measures import RECOVERY
from tests.faults.site import Site
from tests.pooler import pgbouncer
from tests.processes import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 20
BUSY = 3.0  # seconds that a worker may be late by when every core is busy with starting the killed ones


@pytest.fixture(params=["listening", "polling", "prepared"])
def pooled(request: pytest.FixtureRequest, site: Site) -> Iterator[Site]:
    with pgbouncer(database_url(), newer=request.param == "prepared") as pooler:
        site.extra = {"DATABASE_URL": pooler.url, "DB_PREPARE": "on" if request.param == "prepared" else ""}
        if request.param != "polling":
            site.extra["LISTEN_DATABASE_URL"] = database_url()
        yield site


@pytest.mark.parametrize(("step", "was_accepted"), [("before commit", False), ("after commit", True)])
def test_a_request_that_the_server_died_over_is_accepted_once(pooled: Site, step: str, was_accepted: bool) -> None:
    test_web_killed.test_a_request_that_the_server_died_over_is_accepted_once_by_its_retry(
        pooled, step, was_accepted, seed=0
    )


def test_workers_that_die_in_turn_leave_the_doubts_of_their_steps_and_no_others(pooled: Site) -> None:
    test_worker_killed.test_each_of_six_workers_that_die_in_turn_leaves_the_doubts_of_its_step_and_no_others(pooled)


def test_a_rolling_restart_shows_no_client_an_error_and_doubles_nothing(pooled: Site) -> None:
    test_sigterm.test_a_rolling_restart_shows_no_client_an_error_and_doubles_nothing(pooled)


def test_random_kills_under_load_lose_nothing_and_mark_what_they_double(pooled: Site) -> None:
    measures = Campaign(pooled, kills=KILLS, seed=1, progress=lambda kills, words: None).run()

    print("\n".join(measures.table()))
    assert not measures.doubled_by_stops
    assert not measures.unrecovered
    assert median(measures.recoveries or [0.0]) <= RECOVERY
    assert max([*measures.recoveries, *measures.after_blackouts], default=0.0) <= RECOVERY + BUSY
