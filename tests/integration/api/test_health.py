from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client as HttpClient

from notifications.api import health
from notifications.models import Worker


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
        "reasons": [],
    }


@pytest.mark.django_db(transaction=True)
def test_a_missing_migration_is_a_reason_not_to_be_ready() -> None:
    health._migrated.clear()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'notifications' AND name LIKE '0007%%'")
    try:
        answer = HttpClient().get("/readyz")
    finally:
        call_command("migrate", "notifications", fake=True, verbosity=0)

    assert answer.status_code == 503
    [reason] = json.loads(answer.content)["reasons"]
    assert "notifications.0007" in reason

    assert HttpClient().get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.django_db(transaction=True)
def test_a_probe_may_ask_by_address(path: str) -> None:
    assert HttpClient().get(path, headers={"Host": "10.0.3.17:8000"}).status_code == 200
    assert HttpClient().get("/", headers={"Host": "10.0.3.17:8000"}).status_code == 400


def test_probes_may_not_be_kept_by_a_cache() -> None:
    assert HttpClient().get("/healthz").headers["Cache-Control"] == "no-store"
