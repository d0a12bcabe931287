"""While `manage.py migrate` runs on a database with history, accepts, claims and records go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from notifier.management.commands.migrate import LONGEST_WAIT
from notifier.web_database import LOCK_WAIT
from tests.eventually import eventually
from tests.releases.databases import Session, applied, migrating, new_database, with_history
from tests.releases.linting import migrations
from tests.releases.traffic import Traffic

pytestmark = pytest.mark.django_db(transaction=True)

# What a migration may hold others up where nothing is in its own way; 10 to 35 ms were seen on a busy machine.
BOUND: Final = timedelta(seconds=1)
EARLIER: Final = "0010"  # what came after it is tried on rows
A_MILLION: Final = 1_000_000
MIGRATED_WITHIN: Final = 60.0  # seconds, on a crowded machine


@contextmanager
def reading(url: str) -> Iterator[Session]:
    """A transaction that has read the notifications, and stays open."""
    with psycopg.connect(url, autocommit=True, application_name="a report") as report:
        report.execute("BEGIN")
        report.execute("SELECT count(*) FROM notification")
        yield report


def _told(traffic: Traffic) -> str:
    waits = traffic.waits()
    longest = f"{waits[0].seconds * 1000:.0f} ms for {waits[0].table} ({waits[0].mode})" if waits else "none was seen"
    slowest = ", ".join(f"{act} {seconds * 1000:.0f} ms" for act, seconds in sorted(traffic.longest().items()))
    return f"longest wait {longest}, of {len(waits)}; slowest statements: {slowest}; accepted {traffic.accepted()}"


def test_all_migrations_in_one_go_hold_nobody_up(old_history: str) -> None:
    with new_database(old_history) as url:
        traffic = Traffic(url)
        with traffic.flowing(), migrating(url) as migrate:
            assert migrate.wait(MIGRATED_WITHIN) == 0, migrate.log

        assert applied(url) == list(migrations())
        assert not traffic.refused
        assert traffic.accepted()
        longest = max((wait.seconds for wait in traffic.waits()), default=0.0)
        assert longest < BOUND.total_seconds(), traffic.waits()[:5]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_each_migration_holds_nobody_up_over_a_million(capsys: pytest.CaptureFixture[str]) -> None:
    with with_history(A_MILLION, through=EARLIER) as url:
        for name in [name for name in migrations() if name[:4] > EARLIER]:
            traffic = Traffic(url)
            with traffic.flowing(), migrating(url, "notifications", name) as migrate:
                assert migrate.wait(MIGRATED_WITHIN) == 0, migrate.log
            with capsys.disabled():
                print(f"\n{name}: {_told(traffic)}", end="")
            assert not traffic.refused
            assert all(wait.seconds < BOUND.total_seconds() for wait in traffic.waits()), traffic.waits()[:5]


def test_behind_a_long_report_a_migration_steps_back_and_lets_others_pass(old_history: str) -> None:
    with new_database(old_history) as url, reading(url) as report:
        traffic = Traffic(url)
        with traffic.flowing(), migrating(url) as migrate:
            eventually(lambda: migrate.log.count("migrate.steps_back") >= 2, seconds=MIGRATED_WITHIN, what="two tries")
            meanwhile = traffic.accepted()
            eventually(lambda: traffic.accepted() > meanwhile + 50, what="fifty more accepted between two tries")
            report.execute("COMMIT")
            assert migrate.wait(MIGRATED_WITHIN) == 0, migrate.log
            assert "a report (process" in migrate.log
            assert "on notification" in migrate.log

        assert applied(url) == list(migrations())
        assert not traffic.refused, "nobody waits as long as a request may"
        assert all(wait.seconds < LOCK_WAIT.total_seconds() for wait in traffic.waits())


def test_one_that_finds_no_gap_says_who_is_in_its_way_and_has_changed_nothing(old_history: str) -> None:
    with new_database(old_history) as url, reading(url), migrating(url, "--patience", "0") as migrate:
        assert migrate.wait(MIGRATED_WITHIN) == 1

        assert "a report (process" in migrate.log
        assert "notifications.0011_content" in migrate.log
        assert "Traceback" not in migrate.log
        assert applied(url)[-1][:4] == EARLIER


def test_no_wait_of_a_migration_costs_a_request_its_answer() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW deadlock_timeout")
        assert cursor.fetchone()[0] == "1s", "an autovacuum gives way after this long"

    assert timedelta(seconds=1) < LONGEST_WAIT <= LOCK_WAIT / 2


def test_what_stands_in_no_transaction_waits_as_long_as_it_must(settings: Any) -> None:
    settings.MIGRATION_MODULES = {"notifications": "tests.releases.made_up"}
    call_command("migrate", "notifications", verbosity=0)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT place, lock_timeout FROM lock_timeouts ORDER BY place")
            seen = dict(cursor.fetchall())
            cursor.execute("SHOW lock_timeout")
            afterwards = cursor.fetchone()[0]
    finally:
        call_command("migrate", "notifications", "zero", verbosity=0)

    assert seen == {"in a transaction": "250ms", "in none": "0"}
    assert afterwards == "0", "whoever goes on with the connection is not limited"


def test_the_traffic_sees_who_is_kept_waiting(old_history: str) -> None:
    with new_database(old_history) as url:
        traffic = Traffic(url)
        with traffic.flowing(), psycopg.connect(url) as operator:
            eventually(lambda: traffic.accepted() > 10, what="traffic")
            operator.execute("LOCK TABLE notification IN ACCESS EXCLUSIVE MODE")
            operator.execute("SELECT pg_sleep(0.5)")

    assert traffic.waits()[0].table == "notification"
    assert traffic.waits()[0].seconds > 0.3
