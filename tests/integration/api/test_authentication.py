from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client as HttpClient

from notifications import credentials, services
from notifications.api.authentication import TRUSTED_FOR
from notifications.models import ApiKey, Notification
from tests.eventually import eventually
from tests.factories import ApiKeyFactory

from .callers import SMS, Caller

LIST = "/api/v1/notifications"
KEY = credentials.new_key().text


def answer_to(authorization: str | None) -> tuple[int, str, dict[str, object]]:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = HttpClient().get(LIST, headers=headers)
    body = json.loads(answer.content)
    body.pop("correlation_id", None)
    return answer.status_code, answer.headers.get("WWW-Authenticate", ""), body


@pytest.mark.parametrize(
    "authorization",
    [
        *(None, "", "Bearer", "Bearer ", "Basic QTpC", KEY, f"Token {KEY}", f"Bearer {KEY} {KEY}", f"Bearer {KEY}x"),
        *("Bearer nk_00000000_" + "0" * 43, "Bearer " + "x" * 10_000, "Bearer \u00e9", f"Bearer {KEY.upper()}"),
    ],
)
def test_everything_but_a_good_key_gets_one_and_the_same_answer(caller: Caller, authorization: str | None) -> None:
    ApiKeyFactory(client=caller.client, text=KEY)
    status, challenge, body = answer_to(authorization)

    assert (status, challenge) == (401, "Bearer")
    assert body["code"] == "unauthenticated"
    assert body == answer_to(None)[2]


def test_a_key_made_by_the_service_opens(caller: Caller) -> None:
    text = services.create_api_key(caller.client, name="ci").text
    assert answer_to(f"Bearer {text}")[0] == 200


def test_the_schemes_name_may_be_written_in_any_case(caller: Caller) -> None:
    assert answer_to(f"bearer {caller.key}")[0] == 200


def test_a_revoked_key_is_no_key(caller: Caller) -> None:
    ApiKey.objects.update(revoked_at=datetime.now(UTC))
    assert answer_to(f"Bearer {caller.key}") == answer_to(None)


@pytest.mark.parametrize("change", ["revoked_at", "expires_at"])
def test_a_key_that_was_just_used_is_refused_a_second_after_it_was_revoked(caller: Caller, change: str) -> None:
    assert answer_to(f"Bearer {caller.key}")[0] == 200

    ApiKey.objects.update(**{change: datetime.now(UTC)})
    eventually(lambda: answer_to(f"Bearer {caller.key}") == answer_to(None), seconds=TRUSTED_FOR + 1, what="its end")


def test_a_key_that_was_just_used_ends_at_the_moment_it_expires(caller: Caller) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=TRUSTED_FOR / 2)
    ApiKey.objects.update(expires_at=expires_at)
    while datetime.now(UTC) < expires_at:
        answer = answer_to(f"Bearer {caller.key}")

    assert answer[0] in {200, 401}  # the last may have been asked before it and answered after it
    assert answer_to(f"Bearer {caller.key}") == answer_to(None)


def test_a_key_that_has_expired_is_no_key(caller: Caller) -> None:
    ApiKey.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert answer_to(f"Bearer {caller.key}") == answer_to(None)


def test_a_client_that_is_switched_off_is_told_so(caller: Caller) -> None:
    caller.client.is_active = False
    caller.client.save()
    status, _, body = answer_to(f"Bearer {caller.key}")

    assert (status, body["code"]) == (403, "client_inactive")
    assert caller.post("/api/v1/sms", SMS).status_code == 403
    assert not Notification.objects.exists()


def test_the_database_keeps_no_key(caller: Caller) -> None:
    stored = ApiKey.objects.get()
    assert bytes(stored.digest) == credentials.digest(caller.key)
    assert caller.key.split("_", 2)[2] not in f"{stored} {stored!r} {stored.prefix}"


def test_a_session_of_the_admin_is_no_key(caller: Caller, admin_client: HttpClient) -> None:
    assert admin_client.get(LIST).status_code == 401
