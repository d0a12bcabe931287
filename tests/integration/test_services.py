"""Accepting in-process: the library that other apps of the same database use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test import override_settings

from notifications import services
from notifications.models import Client, IdempotencyRecord, Notification
from notifications.outbox.statement import direct_connection
from notifications.services import KeyInUse, KeyReused, NotificationRequest, Refused, Unavailable, accept
from notifier.postgres_broker import NOTIFY_CHANNEL
from tests.eventually import eventually
from tests.factories import ClientFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("slack")]


@pytest.fixture
def client() -> Client:
    return ClientFactory()


Nudged = Callable[[float], list[str]]


@pytest.fixture
def nudged(transactional_db: None) -> Iterator[Nudged]:
    """The lanes that a listening worker hears of, up to so many seconds and no more than the first."""
    with direct_connection("a listening test") as listening:
        listening.execute(f"LISTEN {NOTIFY_CHANNEL}")
        yield lambda seconds: [notice.payload for notice in listening.notifies(timeout=seconds, stop_after=1)]


def hello(**fields: object) -> NotificationRequest:
    return NotificationRequest(**{"channel": "slack", "to": "default", "message": "hello", **fields})


def test_the_callers_row_and_the_notification_commit_together(client: Client, nudged: Nudged) -> None:
    with transaction.atomic():
        Client.objects.create(name="the caller's own row")
        accept(client, hello(), key="order:1")
        assert nudged(0.2) == []

    assert Client.objects.filter(name="the caller's own row").exists()
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 1
    assert nudged(10) == ["slack:default"]


def test_the_callers_row_and_the_notification_vanish_together(client: Client, nudged: Nudged) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        _order_that_fails(client)

    assert not Client.objects.filter(name="the caller's own row").exists()
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 0
    assert nudged(0.2) == []


def _order_that_fails(client: Client) -> None:
    Client.objects.create(name="the caller's own row")
    accept(client, hello(), key="order:1")
    raise RuntimeError("the order failed after all")


def test_a_key_that_was_rolled_back_is_free(client: Client) -> None:
    with transaction.atomic():
        accept(client, hello(), key="order:1")
        transaction.set_rollback(True)

    assert not accept(client, hello(), key="order:1").replayed


def test_the_same_key_and_request_is_answered_byte_for_byte(client: Client) -> None:
    first = accept(client, hello(), key="order:1")
    second = accept(client, hello(), key="order:1")

    assert (second.body, second.location, second.status) == (first.body, first.location, first.status)
    assert (first.replayed, second.replayed) == (False, True)
    assert Notification.objects.count() == 1


def test_the_same_key_and_another_request_is_refused(client: Client) -> None:
    accept(client, hello(), key="order:1")

    with pytest.raises(KeyReused):
        accept(client, hello(message="good-bye"), key="order:1")
    assert Notification.objects.count() == 1


def test_keys_of_other_clients_and_operations_do_not_collide(client: Client) -> None:
    for owner, operation in ((client, "accept"), (client, "POST /api/v1/slack"), (ClientFactory(), "accept")):
        assert not accept(owner, hello(), key="order:1", operation=operation).replayed

    assert Notification.objects.count() == 3


def test_a_key_in_flight_is_waited_for_and_replayed(client: Client) -> None:
    inserted, answers = threading.Event(), []

    def second() -> None:
        inserted.wait(10)
        answers.append(accept(client, hello(), key="order:1"))
        connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        first = accept(client, hello(), key="order:1")
        inserted.set()
        eventually(_somebody_waits_for_a_transaction, what="the second waits")
    thread.join(10)

    assert [(answer.body, answer.replayed) for answer in answers] == [(first.body, True)]


def test_a_key_in_flight_past_the_wait_is_in_use(client: Client) -> None:
    inserted, done, raised = threading.Event(), threading.Event(), []

    def second() -> None:
        inserted.wait(10)
        try:
            accept(client, hello(), key="order:1")
        except KeyInUse as error:
            raised.append(error)
        finally:
            connection.close()
            done.set()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        accept(client, hello(), key="order:1")
        inserted.set()
        assert done.wait(10)
    thread.join(10)

    assert len(raised) == 1


def test_a_holder_that_rolls_back_leaves_the_key_to_who_waits(client: Client) -> None:
    inserted, answers = threading.Event(), []

    def second() -> None:
        inserted.wait(10)
        answers.append(accept(client, hello(), key="order:1"))
        connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        accept(client, hello(), key="order:1")
        inserted.set()
        eventually(_somebody_waits_for_a_transaction, what="the second waits")
        transaction.set_rollback(True)
    thread.join(10)

    assert [answer.replayed for answer in answers] == [False]
    assert Notification.objects.count() == 1


def test_a_database_that_went_away_is_unavailable_and_then_answers_again(client: Client) -> None:
    accept(client, hello(), key="order:1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ours = cursor.fetchone()[0]
    _terminate(ours)

    with pytest.raises(Unavailable):
        accept(client, hello(), key="order:2")
    connection.close_if_unusable_or_obsolete()
    assert not accept(client, hello(), key="order:2").replayed


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"channel": "pigeon"}, "channel", "unknown_channel"),
        ({"channel": "sms", "to": "+14155552671"}, "channel", "channel_not_configured"),
        ({"send_at": datetime.now(UTC) + timedelta(days=400)}, "send_at", "too_far"),
        ({"send_at": datetime(2030, 1, 1)}, "send_at", "timezone_missing"),  # noqa: DTZ001
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, "expires_at", "in_the_past"),
        (
            {
                "send_at": datetime.now(UTC) + timedelta(hours=2),
                "expires_at": datetime.now(UTC) + timedelta(hours=1),
            },
            "expires_at",
            "before_send_at",
        ),
    ],
)
def test_a_refused_request_names_its_field_and_stores_nothing(
    client: Client, fields: dict[str, object], field: str, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        accept(client, hello(**fields), key="order:1")

    assert [(problem.field, problem.code) for problem in refused.value.problems] == [(field, code)]
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 0


def test_an_accepted_request_that_is_no_longer_valid_still_has_its_answer(client: Client) -> None:
    request = hello()
    first = accept(client, request, key="order:1")

    with override_settings(NOTIFIER_CHANNELS={}), pytest.raises(Refused):
        accept(client, request, key="order:1")

    found = services.replay_answer(client, operation="accept", key="order:1", fingerprint=request.fingerprint())
    assert found is not None
    assert (found.body, found.replayed) == (first.body, True)


def test_what_is_due_later_is_not_nudged(client: Client, nudged: Nudged) -> None:
    accept(client, hello(send_at=datetime.now(UTC) + timedelta(hours=1)), key="later")
    assert nudged(0.2) == []

    accept(client, hello(), key="now")
    assert nudged(10) == ["slack:default"]


def _somebody_waits_for_a_transaction() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype IN ('transactionid', 'speculative token') AND NOT granted"
            " AND clock_timestamp() - waitstart > interval '50 ms'"  # longer than in the company of others
        )
        return cursor.fetchone()[0] > 0


def _terminate(backend: int) -> None:
    def other() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
