"""Nothing is accepted for a recipient on the suppression list, by whatever face it is asked for."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from pytest_django import Settings

from notifications import services
from notifications.models import Client, IdempotencyRecord, Notification
from notifications.services import NotificationRequest

from .faces import Face, InProcess, Mend, Reused

SMS: dict[str, Any] = {"channel": "sms", "to": "+14155552671", "message": "hello"}
EMAIL: dict[str, Any] = {"channel": "email", "to": "Ann@EXAMPLE.com", "subject": "Hi", "message": "hello"}


def suppress(fields: dict[str, Any]) -> None:
    assert services.suppress(fields["channel"], fields["to"], actor="ada")


def nothing_stored() -> bool:
    return not Notification.objects.exists() and not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("fields", [SMS, EMAIL, {"channel": "slack", "to": "ops", "message": "hello"}])
def test_a_suppressed_recipient_is_refused_by_name_and_nothing_is_stored(
    face: Face, client: Client, fields: dict[str, Any]
) -> None:
    suppress(fields)

    with pytest.raises(Mend) as refused:
        face.accept(client, key="order:1", **fields)
    assert (refused.value.field, refused.value.code) == ("to", "suppressed")
    assert nothing_stored()


def test_every_form_of_a_recipient_is_the_same_one(face: Face, client: Client) -> None:
    suppress(EMAIL)

    with pytest.raises(Mend):
        face.accept(client, key="order:1", **{**EMAIL, "to": "Ann@example.com"})


def test_others_and_other_channels_are_not_touched(face: Face, client: Client) -> None:
    suppress(SMS)

    face.accept(client, key="order:1", **{**SMS, "to": "+14155552672"})
    face.accept(client, key="order:2", **EMAIL)


def test_the_key_stays_free_for_when_the_recipient_is_let_through(face: Face, client: Client) -> None:
    suppress(SMS)
    with pytest.raises(Mend):
        face.accept(client, key="order:1", **SMS)

    assert services.unsuppress("sms", SMS["to"], actor="ada")
    assert not face.accept(client, key="order:1", **SMS).replayed


def test_what_was_accepted_before_is_replayed(face: Face, client: Client) -> None:
    told = face.accept(client, key="order:1", **SMS)
    suppress(SMS)

    again = face.accept(client, key="order:1", **SMS)
    assert (again.body, again.replayed) == (told.body, True)
    with pytest.raises(Mend):
        face.accept(client, key="order:2", **SMS)
    assert Notification.objects.count() == 1


def test_under_a_key_of_another_request_it_is_the_recipient_that_is_named(face: Face, client: Client) -> None:
    face.accept(client, key="order:1", **EMAIL)
    suppress(SMS)

    with pytest.raises(Mend) as refused:
        face.accept(client, key="order:1", **SMS)
    assert refused.value.code == "suppressed"
    with pytest.raises(Reused):
        face.accept(client, key="order:1", **{**SMS, "to": "+14155552672"})


def test_what_else_is_wrong_with_it_is_named_first(face: Face, client: Client) -> None:
    suppress(SMS)

    with pytest.raises(Mend) as refused:
        face.accept(client, key="order:1", **{**SMS, "message": ""})
    assert refused.value.field == "message"


def test_a_refusal_leaves_the_callers_transaction_as_it_is(client: Client) -> None:
    suppress(SMS)

    with transaction.atomic():
        Client.objects.create(name="the caller's own row")
        with pytest.raises(Mend):
            InProcess().accept(client, key="order:1", **SMS)

    assert Client.objects.filter(name="the caller's own row").exists()


def test_sql_says_it_as_it_says_what_is_to_be_mended(client: Client) -> None:
    suppress(SMS)

    with pytest.raises(DatabaseError) as refused, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM notifications_accept(%s, 'sms', 'hello', recipient => %s)", [client.name, SMS["to"]]
        )
    cause = refused.value.__cause__
    assert isinstance(cause, psycopg.Error)
    assert (cause.sqlstate, cause.diag.column_name, cause.diag.constraint_name) == ("NK001", "recipient", "suppressed")
    assert SMS["to"] not in str(cause)


def test_both_faces_give_the_same_words(client: Client) -> None:
    suppress(SMS)

    with pytest.raises(services.Refused) as refused:
        services.accept(client, NotificationRequest(**SMS), key=None)
    (problem,) = refused.value.problems
    with pytest.raises(DatabaseError, match=r"^recipient: ") as in_sql, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM notifications_accept(%s, 'sms', 'hello', recipient => %s)", [client.name, SMS["to"]]
        )
    assert str(in_sql.value).splitlines()[0] == f"recipient: {problem.detail}"
    assert problem.detail == "is on the suppression list (manual): nothing is sent there"


def test_what_suppresses_tests_stops_nothing_live(face: Face, client: Client, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": {**known["sms"]}}}
    assert services.suppress("sms", SMS["to"], actor="ada", test=True)

    face.accept(client, key="order:1", **SMS)
    with pytest.raises(services.Refused):
        services.accept(client, NotificationRequest(**SMS), key="order:1", test=True)


def test_a_batch_is_refused_whole_and_names_each_by_its_place(client: Client) -> None:
    suppress(SMS)
    suppress(EMAIL)
    good = NotificationRequest(channel="slack", to="ops", message="hello")
    wanted = [good, NotificationRequest(**SMS), good, NotificationRequest(**EMAIL), NotificationRequest(**SMS)]

    with pytest.raises(services.Refused) as refused:
        services.accept_batch(client, wanted, key="batch")
    assert [(each.field, each.code) for each in refused.value.problems] == [
        ("notifications[1].to", "suppressed"),
        ("notifications[3].to", "suppressed"),
        ("notifications[4].to", "suppressed"),
    ]
    assert nothing_stored()


def test_a_batch_with_metadata_and_one_without_a_key_are_refused_as_well(client: Client) -> None:
    suppress(SMS)

    for key in (None, "batch"):
        with pytest.raises(services.Refused):
            services.accept_batch(
                client, [NotificationRequest(**SMS, metadata={"a": 1}), NotificationRequest(**EMAIL)], key=key
            )
    assert nothing_stored()
