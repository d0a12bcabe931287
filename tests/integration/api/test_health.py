from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test import Client as HttpClient
from django.utils import timezone
from pytest_django.fixtures import Settings

from notifications.api import health
from notifications.models import Notification, Worker
from notifications.outbox import lanes
from tests import processes
from tests.eventually import eventually
from tests.factories import NotificationFactory
from tests.ports import free_port

LANE = "slack:default"


def asked(path: str = "/readyz") -> tuple[int, dict[str, Any]]:
    answer = HttpClient().get(path)
    return answer.status_code, json.loads(answer.content)


@pytest.fixture
def worker(transactional_db: None) -> Worker:
    return Worker.objects.create(host="a", pid=1, started_at=datetime.now(UTC))


def waiting_for(seconds: float, **fields: Any) -> Notification:
    made: Notification = NotificationFactory(
        channel="slack", lane=LANE, created_at=timezone.now() - timedelta(seconds=seconds), **fields
    )
    return made


def test_alive_asks_no_database() -> None:
    # Without pytest-django's mark a query would fail.
    answer = HttpClient().get("/healthz")
    assert (answer.status_code, json.loads(answer.content)) == (200, {"status": "alive"})


@pytest.mark.django_db(transaction=True)
def test_ready_reports_the_database_the_migrations_and_the_workers() -> None:
    Worker.objects.create(host="a", pid=1, started_at=datetime.now(UTC))
    answer = HttpClient().get("/readyz")

    assert answer.status_code == 200
    assert json.loads(answer.content) == {
        "status": "ready",
        "database": "ok",
        "migrations": "ok",
        "workers": 1,
        "queue_age": 0.0,
        "broker": "none",
        "reasons": [],
    }


@pytest.mark.django_db(transaction=True)
def test_a_missing_migration_is_a_reason_not_to_be_ready() -> None:
    health._migrated.clear()
    ((_, latest),) = MigrationLoader(connection).graph.leaf_nodes("notifications")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'notifications' AND name = %s", [latest])
    try:
        answer = HttpClient().get("/readyz")
    finally:
        call_command("migrate", "notifications", fake=True, verbosity=0)

    assert answer.status_code == 503
    [reason] = json.loads(answer.content)["reasons"]
    assert f"notifications.{latest}" in reason

    assert HttpClient().get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.django_db(transaction=True)
def test_a_probe_may_ask_by_address(path: str) -> None:
    assert HttpClient().get(path, headers={"Host": "10.0.3.17:8000"}).status_code == 200
    assert HttpClient().get("/", headers={"Host": "10.0.3.17:8000"}).status_code == 400


def test_probes_may_not_be_kept_by_a_cache() -> None:
    assert HttpClient().get("/healthz").headers["Cache-Control"] == "no-store"


@pytest.mark.django_db(transaction=True)
def test_without_a_worker_requests_are_accepted_and_a_monitor_is_told() -> None:
    status, report = asked()

    assert (status, report["status"], report["workers"]) == (200, "degraded", 0)
    assert "No worker is alive" in report["reasons"][0]
    assert asked("/readyz?strict") == (503, report)


@pytest.mark.usefixtures("worker")
def test_a_monitor_that_is_strict_is_content_with_what_is_ready() -> None:
    assert asked("/readyz?strict")[0] == 200


@pytest.mark.usefixtures("worker")
def test_what_has_been_due_for_too_long_is_named() -> None:
    waiting_for(290)
    assert asked()[1]["status"] == "ready"

    waiting_for(400)
    status, report = asked()
    assert (status, report["status"]) == (200, "degraded")
    assert 400 <= report["queue_age"] < 460
    assert f"the lane {LANE} has been due for 40" in report["reasons"][0]
    assert asked("/readyz?strict")[0] == 503


@pytest.mark.usefixtures("worker")
def test_how_long_is_too_long_can_be_set(settings: Settings) -> None:
    waiting_for(400)
    settings.READY_QUEUE_AGE = timedelta(seconds=500)
    assert asked()[1]["status"] == "ready"


def by_the_provider() -> None:
    lanes.pause(LANE, timedelta(minutes=1), "503: away")


def by_the_provider_a_while_ago() -> None:
    lanes.pause(LANE, timedelta(microseconds=1), "503: away")


def by_an_operator() -> None:
    lanes.stop(LANE, until=None, by="ann", reason="moving house")


def with_its_channel() -> None:
    lanes.stop("slack", until=None, by="ann", reason="moving house")


@pytest.mark.parametrize("close", [by_the_provider, by_the_provider_a_while_ago, by_an_operator, with_its_channel])
@pytest.mark.usefixtures("worker")
def test_what_waits_in_a_lane_that_is_not_open_does_not_count(close: Callable[[], None]) -> None:
    waiting_for(400)
    close()
    assert (asked()[1]["status"], asked()[1]["queue_age"]) == ("ready", 0.0)


@pytest.mark.usefixtures("worker")
def test_what_is_not_due_does_not_count() -> None:
    waiting_for(400, due_at=timezone.now() + timedelta(hours=1))
    waiting_for(400, status="failed")
    assert asked()[1]["queue_age"] == 0.0


@pytest.mark.usefixtures("worker")
def test_a_pause_that_is_over_keeps_nothing_from_counting() -> None:
    waiting_for(400)
    lanes.stop(LANE, until=timezone.now() - timedelta(seconds=1), by="ann", reason="moving house")
    assert asked()[1]["status"] == "degraded"


@pytest.mark.django_db(transaction=True)
def test_without_a_database_it_says_so_and_what_to_look_at() -> None:
    with processes.web(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/nothing") as (_, url):
        assert urlopen(f"{url}/healthz").status == 200
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{url}/readyz")

        report = json.load(refused.value)
        assert (refused.value.code, report["status"], report["database"]) == (503, "unready", "unreachable")
        assert "DATABASE_URL" in report["reasons"][0]


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_degrades() -> None:
    with processes.web(BROKER_URL=f"redis://127.0.0.1:{free_port()}/0") as (_, url):
        report = json.load(urlopen(f"{url}/readyz"))

        assert (report["status"], report["broker"]) == ("degraded", "unreachable")
        assert any("BROKER_URL" in reason for reason in report["reasons"])


@pytest.mark.django_db(transaction=True)
def test_the_last_worker_that_was_killed_is_missed_though_nobody_buries_it() -> None:
    def report() -> dict[str, Any]:
        found: dict[str, Any] = json.load(urlopen(f"{url}/readyz"))
        return found

    with processes.web() as (_, url), processes.worker() as last:
        assert report()["status"] == "ready"
        last.end()
        eventually(lambda: report()["workers"] == 0, what="its absence")

        assert Worker.objects.count() == 1
        assert report()["status"] == "degraded"
        assert "notifier_workers 0.0" in urlopen(f"{url}/metrics").read().decode()
