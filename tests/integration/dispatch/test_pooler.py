"""Behind a pooler in transaction mode (PgBouncer) each transaction may run in another session of Postgres."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import monotonic
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.db import connection

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Client, Notification, Worker
from notifications.outbox import statement
from notifications.outbox.statement import direct_connection, run
from tests import processes
from tests.eventually import eventually
from tests.pooler import pgbouncer

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pooler() -> Iterator[str]:
    """A DATABASE_URL that leads through it to the test's own database."""
    with pgbouncer(processes.database_url()) as running:
        yield running.url


def test_all_is_sent_and_a_killed_workers_claims_are_taken_back_within_five_seconds(
    pooler: str, post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=200))
    for n in range(60):
        post(f"message {n}")
    through = {**providers, "DATABASE_URL": pooler}
    with processes.worker(**through) as first, processes.worker(**through) as second:
        sandbox.mailbox.wait(10, seconds=30)
        held_by = eventually(
            lambda: Notification.objects.filter(status="sending").values_list("worker_id", flat=True).first()
        )
        os.kill(Worker.objects.get(pk=held_by).pid, signal.SIGKILL)
        killed = monotonic()
        eventually(lambda: not Notification.objects.filter(worker_id=held_by).exists(), seconds=15, what="recovery")
        took = monotonic() - killed
        eventually(lambda: not Notification.objects.exclude(status="sent").exists(), seconds=60, what="all sent")
        logs = first.log + second.log

    assert "lease.lost" not in logs
    assert "lease.unreachable" not in logs
    assert took <= 5.0, f"{took:.2f} s"
    assert {m.body for m in sandbox.mailbox.messages()} == {f"message {n}" for n in range(60)}


def test_the_web_accepts_through_it(pooler: str, client_row: Client, providers: dict[str, str]) -> None:
    key = services.create_api_key(client_row).text
    with processes.web(**providers, DATABASE_URL=pooler) as (_, url):
        for n in range(20):
            request = Request(
                f"{url}/api/v1/slack",
                data=b'{"message": "hello"}',
                headers={
                    "Authorization": f"Bearer {key}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": f"key-{n % 10}",
                },
            )
            with urlopen(request, timeout=10) as answer:
                assert answer.status == 202

    assert Notification.objects.count() == 10


def test_a_direct_connection_keeps_its_plans() -> None:
    run("SELECT %(number)s::int", {"number": 1})
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int'")
        assert cursor.fetchone() == (1,)


def test_a_pooled_one_keeps_none(pooler: str) -> None:
    with psycopg.connect(pooler, autocommit=True, prepare_threshold=None) as pooled:
        statement._allow_plans(pooled)
        assert pooled.prepare_threshold is None
    with direct_connection("a test") as direct:
        assert direct.prepare_threshold is not None
