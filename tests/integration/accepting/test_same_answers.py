"""One key, one notification, one answer: whether it is asked for in-process or in SQL, and whoever comes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from pytest_django import Settings

from notifications import services
from notifications.models import Client, IdempotencyRecord, Notification
from notifications.outbox import channel_rules
from notifications.outbox.statement import direct_connection
from notifications.services import NotificationRequest
from tests.eventually import eventually
from tests.factories import ClientFactory
from tests.integration.outbox.second import PATIENCE, Second, somebody_waits_for_us

from .faces import Face, InProcess, Rest, Reused, Sql, Told, by_django, call

PARALLEL = 50
SLACK = {"channel": "slack", "message": "hello"}
FULL: dict[str, Any] = {
    "channel": "email",
    "to": "Ann@Example.com",
    "subject": 'Hi, "\\\u2603\U0001f600',
    "message": "two\nlines\t\x01\x7f\u2028</",
    "send_at": datetime.now(UTC) + timedelta(hours=1),
    "expires_at": (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0),
    "priority": "high",
    "metadata": {"z": 1, "é": "ü\n", "a": 1.5, "\U0001f600": -0.0, "\uffff": 1e22, "b": 10**30, '"': "\\"},
}
BOTH = pytest.mark.parametrize(("first", "second"), [(InProcess(), Sql()), (Sql(), InProcess()), (Sql(), Sql())])


@pytest.fixture
def elsewhere(transactional_db: None) -> Iterator[Second]:
    running = Second()
    yield running
    running.close()


@BOTH
@pytest.mark.parametrize("fields", [SLACK, FULL], ids=["little", "all"])
def test_a_key_is_answered_byte_for_byte_as_the_first_time(
    client: Client, first: Face, second: Face, fields: dict[str, Any]
) -> None:
    told = first.accept(client, key="order:1", **fields)
    again = second.accept(client, key="order:1", **fields)

    assert (told.replayed, again.replayed) == (False, True)
    assert again.body == told.body == bytes(IdempotencyRecord.objects.get().body)
    assert Notification.objects.count() == 1


def test_the_answers_of_all_faces_are_alike(face: Face, client: Client) -> None:
    key = "k" if isinstance(face, Rest) else 'k ",\\'  # which a header would quote
    told = face.accept(client, key=key, **FULL).shown
    row = Notification.objects.get()

    assert list(told) == ["id", "channel", "to", "status", "created_at", "links", "idempotency_key"]
    assert told == {
        "id": str(row.id),
        "channel": "email",
        "to": "Ann@example.com",
        "status": "pending",
        "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
        "links": {"self": f"/api/v1/notifications/{row.id}"},
        "idempotency_key": row.idempotency_key,
    }
    assert row.id.version == 7


@BOTH
@pytest.mark.parametrize(
    "other",
    [
        *(
            {"message": "good-bye"},
            {"to": "ops"},
            {"priority": "low"},
            {"metadata": {"a": "1"}},
            {"metadata": {"a": 2}},
        ),
        *({"send_at": datetime(2026, 1, 1, tzinfo=UTC)}, {"expires_at": datetime(2999, 1, 1, tzinfo=UTC)}),
    ],
)
def test_another_request_under_the_same_key_is_refused(
    client: Client, first: Face, second: Face, other: dict[str, Any]
) -> None:
    first.accept(client, key="order:1", **SLACK, metadata={"a": 1})

    with pytest.raises(Reused):
        second.accept(client, key="order:1", **{**SLACK, "metadata": {"a": 1}, **other})
    assert Notification.objects.count() == 1


@BOTH
def test_a_number_is_the_same_however_it_is_written(client: Client, first: Face, second: Face) -> None:
    first.accept(client, key="order:1", **SLACK, metadata={"a": 1, "b": 100.0})

    assert second.accept(client, key="order:1", **SLACK, metadata={"b": 1e2, "a": 1.0}).replayed


@BOTH
def test_without_a_key_every_request_is_one_of_its_own(client: Client, first: Face, second: Face) -> None:
    assert first.accept(client, **SLACK).id != second.accept(client, **SLACK).id
    assert not IdempotencyRecord.objects.exists()
    assert {row.idempotency_key for row in Notification.objects.all()} == {""}


def test_keys_of_other_clients_do_not_collide(inner: Face, client: Client) -> None:
    for owner in (client, ClientFactory()):
        assert not inner.accept(owner, key="order:1", **SLACK).replayed


def test_what_was_accepted_is_replayed_in_sql_though_its_time_has_passed(client: Client, settings: Settings) -> None:
    told = Sql().accept(client, key="order:1", channel="slack", to="ops", message="hello")
    slack = {**settings.NOTIFIER_CHANNELS["slack"], "webhooks": {}}
    settings.NOTIFIER_CHANNELS = {**settings.NOTIFIER_CHANNELS, "slack": slack}
    channel_rules.publish(whole=True)

    again = Sql().accept(client, key="order:1", channel="slack", to="ops", message="hello")
    assert (again.body, again.replayed) == (told.body, True)
    # In-process the caller looks for himself.
    request = NotificationRequest(channel="slack", to="ops", message="hello")
    found = services.replay_answer(client, operation="accept", key="order:1", fingerprint=request.fingerprint())
    assert found is not None
    assert found.body == told.body


def test_the_callers_row_and_the_notification_commit_together(inner: Face, client: Client) -> None:
    with transaction.atomic():
        Client.objects.create(name="the caller's own row")
        inner.accept(client, key="order:1", **SLACK)

    assert Client.objects.filter(name="the caller's own row").exists()
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 1


def test_a_rollback_leaves_nothing_and_frees_the_key(inner: Face, client: Client) -> None:
    with transaction.atomic():
        Client.objects.create(name="the caller's own row")
        inner.accept(client, key="order:1", **SLACK)
        transaction.set_rollback(True)

    assert not Client.objects.filter(name="the caller's own row").exists()
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 0
    assert not inner.accept(client, key="order:1", **SLACK).replayed


@BOTH
def test_a_key_in_flight_is_waited_for_and_replayed(
    client: Client, elsewhere: Second, first: Face, second: Face
) -> None:
    with elsewhere.overtaken_by(lambda: second.accept(client, key="order:1", **SLACK)) as later:
        told = first.accept(client, key="order:1", **SLACK)

    assert (later.result().body, later.result().replayed) == (told.body, True)


@BOTH
def test_a_holder_that_rolls_back_leaves_the_key_to_who_waits(
    client: Client, elsewhere: Second, first: Face, second: Face
) -> None:
    with transaction.atomic():
        first.accept(client, key="order:1", **SLACK)
        later = elsewhere.begin(lambda: second.accept(client, key="order:1", **SLACK))
        eventually(somebody_waits_for_us, what="the second waits for the first")
        transaction.set_rollback(True)

    assert not later.result(PATIENCE).replayed
    assert Notification.objects.count() == 1


def test_in_sql_the_callers_own_lock_timeout_ends_the_wait(client: Client) -> None:
    with transaction.atomic():
        Sql().accept(client, key="order:1", **SLACK)
        with direct_connection("one that waits") as other:
            other.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                call(lambda sql, given: other.execute(sql, given).fetchone(), client.name, key="order:1", **SLACK)


def test_a_snapshot_older_than_the_keys_first_use_is_told_to_try_again(client: Client) -> None:
    with direct_connection("one that sees nothing new") as other, other.transaction():
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1 FROM client")
        Sql().accept(client, key="order:1", **SLACK)
        with pytest.raises(psycopg.errors.SerializationFailure):
            call(lambda sql, given: other.execute(sql, given).fetchone(), client.name, key="order:1", **SLACK)
        raise psycopg.Rollback


def test_fifty_at_once_by_either_face_make_one_notification_and_get_equal_answers(client: Client) -> None:
    together = threading.Barrier(PARALLEL)

    def accept(number: int) -> Told:
        try:
            with connection.cursor():
                together.wait(timeout=30)
            return (Sql() if number % 2 else InProcess()).accept(client, key="race", **SLACK)
        finally:
            connection.close()

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(accept, range(PARALLEL)))

    assert len({told.body for told in answers}) == 1
    assert sum(not told.replayed for told in answers) == 1
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 1


def test_a_refusal_ends_the_callers_transaction_unless_a_savepoint_is_there(client: Client) -> None:
    with transaction.atomic():
        with pytest.raises(DatabaseError), transaction.atomic():
            call(by_django, client.name, channel="pigeon", message="hello")
        Client.objects.create(name="the caller's own row")

    assert Client.objects.filter(name="the caller's own row").exists()


@pytest.mark.parametrize(
    ("name", "active", "sqlstate"), [("nobody", True, "NK002"), (None, True, "NK002"), ("off", False, "NK003")]
)
def test_a_client_that_is_unknown_or_switched_off_accepts_nothing(
    client: Client, name: str | None, active: bool, sqlstate: str
) -> None:
    Client.objects.create(name="off", is_active=active)

    with pytest.raises(DatabaseError) as refused:
        call(by_django, name, **SLACK)

    cause = refused.value.__cause__
    assert isinstance(cause, psycopg.Error)
    assert cause.sqlstate == sqlstate
    assert cause.diag.message_hint
    assert not Notification.objects.exists()
