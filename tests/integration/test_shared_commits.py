"""Requests that come while another's transaction is under way share the next one, and no one's trouble is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from pytest_django import Settings

from notifications import services
from notifications.models import Client, Notification
from notifications.outbox.statement import direct_connection
from notifications.services import Accepted, KeyReused, NotificationRequest, Refused, Unavailable, storing
from notifications.together import Together
from tests.eventually import eventually
from tests.factories import ClientFactory

pytestmark = pytest.mark.django_db(transaction=True)

AGES = 30.0  # seconds: nobody's patience ends in these tests, but where they say so


@pytest.fixture(autouse=True)
def two_webhooks(slack: None, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    webhooks = {**known["slack"]["webhooks"], "ops": "https://hooks.slack.com/services/y"}
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**known["slack"], "webhooks": webhooks}}


@pytest.fixture
def client() -> Client:
    return ClientFactory()


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> Together[storing.Asked, storing._Shared]:
    """Of this test alone, and patient."""
    monkeypatch.setattr(storing, "PATIENCE", AGES)
    patient = Together(storing._insert_together, patience=AGES)
    monkeypatch.setattr(storing, "_company", patient)
    return patient


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


Submit = Callable[..., Future[Accepted]]


@pytest.fixture
def submit(client: Client, threads: ThreadPoolExecutor) -> Submit:
    """Accept in a thread of its own, as the web server does."""

    def accept(key: str | None, message: str) -> Accepted:
        try:
            return services.accept(client, NotificationRequest(channel="slack", to="default", message=message), key=key)
        finally:
            connection.close()

    return lambda key, message="hello": threads.submit(accept, key, message)


@contextmanager
def a_commit_under_way(
    company: Together[storing.Asked, storing._Shared], submit: Submit
) -> Iterator[tuple[Future[Accepted], Callable[[Sequence[tuple[str | None, str]]], list[Future[Accepted]]]]]:
    """One that is held up until the end of the block, and how others come to wait behind it."""
    with direct_connection("a test that locks") as locking:
        locking.execute("BEGIN")
        locking.execute("LOCK TABLE notification IN EXCLUSIVE MODE")
        first = submit("first")
        eventually(_waiting_for_the_table, what="the first waits for the table")

        def behind(asked: Sequence[tuple[str | None, str]]) -> list[Future[Accepted]]:
            others = []
            for key, message in asked:
                others.append(submit(key, message))
                eventually(lambda: len(company._waiting) == len(others), what="it waits behind the first")
            return others

        yield first, behind
        locking.execute("COMMIT")


def transactions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT xmin::text) FROM notification")
        return cursor.fetchone()[0]


def test_those_that_come_during_a_commit_share_the_next(
    company: Together[storing.Asked, storing._Shared], submit: Submit
) -> None:
    with a_commit_under_way(company, submit) as (first, behind):
        others = behind([(f"key {number}", f"message {number}") for number in range(5)] + [(None, "no key")])

    answers = [each.result(20) for each in (first, *others)]
    assert (Notification.objects.count(), transactions()) == (7, 2)
    assert [answer.replayed for answer in answers] == [False] * 7
    for answer, message in zip(answers[1:], [*(f"message {number}" for number in range(5)), "no key"], strict=True):
        assert Notification.objects.get(id=answer.notification_id).body == message
    again = [submit(f"key {number}", f"message {number}").result(20) for number in range(5)]
    assert [(each.body, each.replayed) for each in again] == [(answer.body, True) for answer in answers[1:6]]


def test_a_suppressed_recipient_among_them_is_refused_alone(
    company: Together[storing.Asked, storing._Shared], client: Client, threads: ThreadPoolExecutor, submit: Submit
) -> None:
    def to_ops() -> Accepted:
        try:
            return services.accept(client, NotificationRequest(channel="slack", to="ops", message="hello"), key="ops")
        finally:
            connection.close()

    with a_commit_under_way(company, submit) as (first, behind):
        others = behind([("key 1", "hello"), (None, "no key")])
        refused = threads.submit(to_ops)
        eventually(lambda: len(company._waiting) == 3, what="it waits behind the first")
        services.suppress("slack", "ops", actor="ada")

    with pytest.raises(Refused) as said:
        refused.result(20)
    assert [(problem.field, problem.code) for problem in said.value.problems] == [("to", "suppressed")]
    assert [each.result(20).replayed for each in (first, *others)] == [False] * 3
    assert (Notification.objects.count(), transactions()) == (3, 2)


def test_a_key_that_comes_twice_at_once_is_stored_once(
    company: Together[storing.Asked, storing._Shared], submit: Submit
) -> None:
    with a_commit_under_way(company, submit) as (_, behind):
        one, same, another_body, other = behind(
            [("key", "hello"), ("key", "hello"), ("key", "bye"), ("another", "hello")]
        )

    assert one.result(20).body == same.result(20).body
    assert sorted((one.result().replayed, same.result().replayed)) == [False, True]
    assert isinstance(another_body.exception(20), KeyReused)
    assert not other.result(20).replayed
    assert Notification.objects.count() == 3


def test_a_key_in_flight_elsewhere_holds_up_nobody_but_its_own(
    company: Together[storing.Asked, storing._Shared], submit: Submit, client: Client
) -> None:
    with direct_connection("a slow caller") as caller:
        caller.execute("BEGIN")
        with a_commit_under_way(company, submit) as (first, behind):
            caller.execute(
                "INSERT INTO idempotency_record (client_id, operation, key, fingerprint, status, location, body,"
                " notification_ids, created_at) VALUES (%s, 'accept', 'slow', '', 202, '', '', '{}', now())",
                [client.pk],
            )
            *others, slow = behind([("a", "hello"), ("z", "hello"), ("slow", "hello")])

        assert [each.result(20).replayed for each in (first, *others)] == [False] * 3
        assert not slow.done() or isinstance(slow.exception(), services.KeyInUse)  # a second may be over
        caller.execute("ROLLBACK")


def test_a_statement_that_is_canceled_is_tried_for_each_alone(
    company: Together[storing.Asked, storing._Shared], submit: Submit
) -> None:
    with a_commit_under_way(company, submit) as (first, behind):
        others = behind([(f"key {number}", "hello") for number in range(4)])
        with direct_connection("an administrator") as administrator:
            _cancel_whoever_waits(administrator)  # the first: then one of the others leads, and waits as well
            eventually(lambda: first.done() and _waiting_for_the_table(), what="their leader waits for the table")
            _cancel_whoever_waits(administrator)
            eventually(lambda: _waiting_for_the_table() == 4, what="each waits for the table")

    assert isinstance(first.exception(20), Unavailable)
    assert [each.result(20).replayed for each in others] == [False] * 4
    assert Notification.objects.count() == 4


def test_where_a_session_ends_nobody_knows_and_nothing_is_tried_again(
    company: Together[storing.Asked, storing._Shared], submit: Submit
) -> None:
    with a_commit_under_way(company, submit) as (first, behind):
        others = behind([(f"key {number}", "hello") for number in range(4)])
        with direct_connection("an administrator") as administrator:
            _end_whoever_waits(administrator)
            eventually(lambda: first.done() and _waiting_for_the_table(), what="their leader waits for the table")
            _end_whoever_waits(administrator)
            assert [type(each.exception(20)) for each in (first, *others)] == [Unavailable] * 5

    assert Notification.objects.count() == 0
    assert not submit("key 1").result(20).replayed


def test_after_a_long_wait_a_failure_is_everybodys(
    company: Together[storing.Asked, storing._Shared], submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "PATIENCE", 0.0)
    with a_commit_under_way(company, submit) as (first, behind):
        others = behind([(f"key {number}", "hello") for number in range(4)])
        with direct_connection("an administrator") as administrator:
            _cancel_whoever_waits(administrator)
            eventually(lambda: first.done() and _waiting_for_the_table(), what="their leader waits for the table")
            _cancel_whoever_waits(administrator)
            assert [type(each.exception(20)) for each in others] == [Unavailable] * 4

    assert Notification.objects.count() == 0
    assert not submit("key 1").result(20).replayed


def test_a_batch_has_a_transaction_of_its_own(
    company: Together[storing.Asked, storing._Shared], submit: Submit, threads: ThreadPoolExecutor, client: Client
) -> None:
    def accept_batch() -> Accepted:
        requests = [NotificationRequest(channel="slack", to="default", message=str(number)) for number in range(3)]
        try:
            return services.accept_batch(client, requests, key="batch")
        finally:
            connection.close()

    with a_commit_under_way(company, submit) as (_, behind):
        others = behind([("a", "hello")])
        batch = threads.submit(accept_batch)
        eventually(lambda: _waiting_for_the_table() == 2, what="the batch waits for the table, too")
        assert len(company._waiting) == 1

    assert len(batch.result(20).notification_ids) == 3
    assert not others[0].result(20).replayed
    assert (Notification.objects.count(), transactions()) == (5, 3)


def _waiting_for_the_table() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'notification'::regclass"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.fetchone()[0]


def _cancel_whoever_waits(administrator: psycopg.Connection[tuple[object, ...]]) -> None:
    administrator.execute(
        "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'notification'::regclass"
    )


def _end_whoever_waits(administrator: psycopg.Connection[tuple[object, ...]]) -> None:
    administrator.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE NOT granted AND relation = 'notification'::regclass"
    )
