from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from notifications.models import IdempotencyRecord, Notification
from notifications.outbox.accept import Use, read_record
from notifications.outbox.statement import run

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_notification_and_its_record_come_together() -> None:
    id_ = rows.accepted(key="order-placed:42")

    record = IdempotencyRecord.objects.get(key="order-placed:42")
    assert record.notification_ids == [id_]
    assert rows.row(id_).idempotency_key == "order-placed:42"
    stored = read_record(Use(1, "accept", "order-placed:42", b""))
    assert stored is not None
    assert (stored.fingerprint, stored.answer) == (b"f" * 32, rows.ANSWER)


def test_a_taken_key_writes_nothing() -> None:
    rows.accepted(key="k")

    with pytest.raises(AssertionError):
        rows.accepted(key="k")
    assert Notification.objects.count() == 1


def test_without_a_key_there_is_no_record() -> None:
    rows.accepted(key=None)
    rows.accepted(key=None)

    assert (Notification.objects.count(), IdempotencyRecord.objects.count()) == (2, 0)


def test_both_vanish_with_the_callers_transaction() -> None:
    with transaction.atomic():
        rows.accepted(key="k")
        transaction.set_rollback(True)

    assert (Notification.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)


def test_the_wait_for_a_key_ends_with_its_statement() -> None:
    rows.accepted(key="k")

    assert run("SHOW lock_timeout", {}) == [("0",)]


def test_a_past_send_at_is_due_at_the_databases_now() -> None:
    id_ = rows.accepted(send_at=datetime(2001, 1, 1, tzinfo=UTC))

    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now = cursor.fetchone()[0]
    assert now - timedelta(seconds=10) < rows.row(id_).due_at <= now
