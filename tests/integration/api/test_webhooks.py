"""Where a client wants to be told: made, read, changed, rotated, deleted; its secret shown twice in its life."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.http import HttpResponse
from pytest_django import Settings

from notifications import credentials
from notifications.models import LaneState, Notification, WebhookEndpoint
from notifications.outbox import lanes
from notifications.outbox.tell import CHANNEL
from notifications.services.webhooks import MOST_WEBHOOKS
from notifications.webhooks import KnownEndpoints
from tests.factories import ApiKeyFactory, NotificationFactory, WebhookEndpointFactory

from .callers import Caller

URL = "https://example.com/notified?from=us"


def read(answer: HttpResponse, status: int = 200) -> Any:
    assert answer.status_code == status, answer.content
    return json.loads(answer.content)


def made(caller: Caller, **fields: object) -> Any:
    return read(caller.post("/api/v1/webhooks", {"url": URL, **fields}), 201)


def problems(answer: HttpResponse) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in read(answer, 400)["errors"]]


# --- made and read ---------------------------------------------------------------------------------------------


def test_a_new_webhook_is_shown_with_its_secret_and_its_address(caller: Caller) -> None:
    answer = caller.post("/api/v1/webhooks", {"url": URL, "events": ["failed"], "description": "the pager"})

    shown = read(answer, 201)
    assert answer.headers["Location"] == f"/api/v1/webhooks/{shown['id']}" == shown["links"]["self"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert (shown["url"], shown["events"], shown["description"]) == (URL, ["failed"], "the pager")
    assert (shown["is_active"], shown["disabled_reason"], shown["previous_until"]) == (True, "", None)
    assert len(base64.b64decode(shown["secret"].removeprefix("whsec_"), validate=True)) == 32


def test_a_webhook_wants_to_know_everything_where_it_does_not_say(caller: Caller) -> None:
    assert made(caller)["events"] == ["sent", "delivered", "failed", "unknown"]


def test_a_secret_is_shown_when_it_is_made_and_never_again(caller: Caller) -> None:
    webhook = made(caller)
    path = f"/api/v1/webhooks/{webhook['id']}"

    later = [caller.get("/api/v1/webhooks"), caller.get(path), caller.patch(path, {"description": "x"})]

    assert [answer.status_code for answer in later] == [200, 200, 200]
    assert not any(webhook["secret"].encode() in answer.content for answer in later)


def test_a_client_lists_its_own_in_their_order(caller: Caller, other: Caller) -> None:
    ids = [made(caller, url=f"https://example.com/{n}")["id"] for n in range(3)]
    made(other)

    page = read(caller.get("/api/v1/webhooks"))
    assert ([each["id"] for each in page["results"]], page["next"]) == (ids, None)


@pytest.mark.parametrize("method", ["get", "patch", "delete", "rotate"])
def test_another_clients_is_not_found(caller: Caller, other: Caller, method: str) -> None:
    path = f"/api/v1/webhooks/{made(other)['id']}"
    asked = {
        "get": lambda: caller.get(path),
        "patch": lambda: caller.patch(path, {"is_active": False}),
        "delete": lambda: caller.delete(path),
        "rotate": lambda: caller.post(f"{path}/rotate", {}),
    }

    assert asked[method]().status_code == 404
    assert WebhookEndpoint.objects.get().is_active


@pytest.mark.parametrize("id_", ["42", "%00", "0190163d-8694-739b-aea5-966c26f8ad91"])
def test_what_does_not_exist_is_not_found(caller: Caller, id_: str) -> None:
    assert caller.get(f"/api/v1/webhooks/{id_}").status_code == 404


# --- refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ("url", "required")),
        ({"url": 1}, ("url", "invalid")),
        ({"url": "http://example.com/"}, ("url", "invalid_url")),
        ({"url": "https://127.0.0.1/"}, ("url", "invalid_url")),
        ({"url": "https://user:password@example.com/"}, ("url", "invalid_url")),
        ({"url": URL, "events": []}, ("events", "empty")),
        ({"url": URL, "events": "sent"}, ("events", "not_a_list")),
        ({"url": URL, "events": ["pending"]}, ("events.0", "invalid_choice")),
        ({"url": URL, "events": ["sent", "sent"]}, ("events", "duplicate")),
        ({"url": URL, "events": ["sent"] * 5}, ("events", "not_a_list")),
        ({"url": URL, "events": [{}]}, ("events.0", "invalid_choice")),
        ({"url": URL, "description": "x" * 201}, ("description", "max_length")),
        ({"url": URL, "secret": "whsec_mine"}, ("secret", "unknown_field")),
        ({"url": URL, "is_active": False}, ("is_active", "unknown_field")),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_made(caller: Caller, body: object, named: tuple[str, str]) -> None:
    assert problems(caller.post("/api/v1/webhooks", body)) == [named]
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("url", ["https://example.com/p4ssw0rd\\", "https://hidden:p4ssw0rd@example.com/"])
def test_a_refusal_does_not_repeat_the_address(caller: Caller, url: str) -> None:
    assert b"p4ssw0rd" not in caller.post("/api/v1/webhooks", {"url": url}).content


def conflict(answer: HttpResponse) -> bool:
    return (answer.status_code, json.loads(answer.content)["code"]) == (409, "webhook_conflict")


def test_a_change_to_an_address_that_is_told_already_changes_nothing(caller: Caller) -> None:
    webhook = made(caller)
    made(caller, url="https://example.com/second")

    assert conflict(caller.patch(f"/api/v1/webhooks/{webhook['id']}", {"url": "https://example.com/second"}))
    assert WebhookEndpoint.objects.get(id=webhook["id"]).url == URL


def test_a_test_key_neither_sees_nor_changes_where_live_events_go(caller: Caller) -> None:
    webhook = made(caller)
    key = credentials.new_key(test=True).text
    ApiKeyFactory(client=caller.client, text=key, is_test=True)
    testing = Caller(caller.client, key)

    for answer in (
        testing.get("/api/v1/webhooks"),
        testing.get(f"/api/v1/webhooks/{webhook['id']}"),
        testing.post("/api/v1/webhooks", {"url": "https://example.com/mine"}),
        testing.patch(f"/api/v1/webhooks/{webhook['id']}", {"url": "https://example.com/mine"}),
    ):
        assert (answer.status_code, json.loads(answer.content)["code"]) == (403, "forbidden")
    assert [each.url for each in WebhookEndpoint.objects.all()] == [URL]


def test_one_address_is_told_once(caller: Caller, other: Caller) -> None:
    made(caller)
    made(other)  # anybody's own

    assert conflict(caller.post("/api/v1/webhooks", {"url": URL}))


def test_a_client_has_ten_at_most_however_many_ask_at_once(caller: Caller) -> None:
    def post(n: int) -> int:
        try:
            return caller.post("/api/v1/webhooks", {"url": f"https://example.com/{n}"}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(post, range(MOST_WEBHOOKS + 6)))

    assert (answers.count(201), answers.count(409)) == (MOST_WEBHOOKS, 6)
    assert conflict(caller.post("/api/v1/webhooks", {"url": "https://example.com/more"}))


def test_an_allowed_network_is_allowed(caller: Caller, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "webhook": {**known["webhook"], "allowed_networks": ["127.0.0.0/8"]}}

    assert made(caller, url="http://127.0.0.1:8000/hook")


# --- changed ---------------------------------------------------------------------------------------------------


def test_a_change_leaves_what_it_does_not_name(caller: Caller) -> None:
    webhook = made(caller, description="the pager")
    secret = webhook.pop("secret")

    changed = read(caller.patch(f"/api/v1/webhooks/{webhook['id']}", {"events": ["failed", "unknown"]}))

    assert changed == {**webhook, "events": ["failed", "unknown"]}
    assert WebhookEndpoint.objects.get().secret == secret


def test_switching_it_on_forgets_why_it_was_off(caller: Caller) -> None:
    webhook = WebhookEndpointFactory(client=caller.client, is_active=False, disabled_reason="it answered 410 Gone")

    changed = read(caller.patch(f"/api/v1/webhooks/{webhook.id}", {"is_active": True}))

    assert (changed["is_active"], changed["disabled_reason"]) == (True, "")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"is_active": "no"}, ("is_active", "invalid")),
        ({"is_active": None}, ("is_active", "invalid")),
        ({"url": "http://example.com"}, ("url", "invalid_url")),
        ({"events": []}, ("events", "empty")),
        ({"secret": "whsec_mine"}, ("secret", "unknown_field")),
    ],
)
def test_a_bad_change_is_named_and_nothing_is_changed(caller: Caller, body: object, named: tuple[str, str]) -> None:
    webhook = made(caller)
    made(caller, url="https://example.com/second")
    before = caller.get(f"/api/v1/webhooks/{webhook['id']}").content

    assert problems(caller.patch(f"/api/v1/webhooks/{webhook['id']}", body)) == [named]
    assert caller.get(f"/api/v1/webhooks/{webhook['id']}").content == before


@pytest.mark.parametrize("change", [{"url": "https://example.com/mended"}, {"is_active": True}])
def test_what_may_have_mended_it_ends_its_rest(caller: Caller, change: dict[str, object]) -> None:
    webhook = made(caller)
    lanes.pause(f"{CHANNEL}:{webhook['id']}", timedelta(minutes=5), "404: answered 404")

    caller.patch(f"/api/v1/webhooks/{webhook['id']}", {"description": "no reason"})
    assert LaneState.objects.count() == 1
    caller.patch(f"/api/v1/webhooks/{webhook['id']}", change)
    assert LaneState.objects.count() == 0


def test_a_deleted_one_leaves_no_pause(caller: Caller) -> None:
    webhook = made(caller)
    lanes.pause(f"{CHANNEL}:{webhook['id']}", timedelta(minutes=5), "404: answered 404")

    caller.delete(f"/api/v1/webhooks/{webhook['id']}")

    assert LaneState.objects.count() == 0


def test_a_deleted_one_is_gone(caller: Caller) -> None:
    path = f"/api/v1/webhooks/{made(caller)['id']}"

    answer = caller.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert caller.get(path).status_code == 404


def test_a_rotation_shows_the_new_secret_and_lets_the_old_one_sign_for_a_day(caller: Caller) -> None:
    webhook = made(caller)
    before = datetime.now(UTC)

    answer = caller.post(f"/api/v1/webhooks/{webhook['id']}/rotate", {})

    rotated = read(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    until = datetime.fromisoformat(rotated["previous_until"])
    assert timedelta(hours=24) <= until - before < timedelta(hours=24, minutes=1)
    found = KnownEndpoints().find(webhook["id"])
    assert found is not None
    assert list(found.secrets) == [rotated["secret"], webhook["secret"]]


def test_the_old_secret_signs_no_more_after_its_day(caller: Caller) -> None:
    webhook = made(caller)
    rotated = read(caller.post(f"/api/v1/webhooks/{webhook['id']}/rotate", {}))
    WebhookEndpoint.objects.update(previous_until=datetime.now(UTC) - timedelta(seconds=1))

    found = KnownEndpoints().find(webhook["id"])
    assert found is not None
    assert list(found.secrets) == [rotated["secret"]]


# --- the channel -----------------------------------------------------------------------------------------------


def test_clients_cannot_post_to_the_channel_of_webhooks(caller: Caller) -> None:
    webhook = made(caller)
    body = {"channel": CHANNEL, "to": webhook["id"], "message": "{}"}

    assert problems(caller.post("/api/v1/notifications", body)) == [("channel", "unknown_channel")]
    [(field, code)] = problems(caller.post("/api/v1/notifications/batch", {"notifications": [body]}))
    assert (field, code) == ("notifications[0].channel", "unknown_channel")
    assert not Notification.objects.exists()


def test_a_list_shows_what_was_posted_and_what_was_told_where_it_is_asked_for(caller: Caller) -> None:
    posted = NotificationFactory(client=caller.client)
    told = NotificationFactory(client=caller.client, channel=CHANNEL, recipient=str(uuid4()))

    by_default = read(caller.get("/api/v1/notifications"))["results"]
    asked_for = read(caller.get("/api/v1/notifications", channel=CHANNEL))["results"]

    assert [[each["id"] for each in rows] for rows in (by_default, asked_for)] == [[str(posted.id)], [str(told.id)]]


def test_what_was_told_can_be_read_and_told_again(caller: Caller) -> None:
    told = NotificationFactory(client=caller.client, channel=CHANNEL, recipient=str(uuid4()), status="failed")

    assert read(caller.get(f"/api/v1/notifications/{told.id}"))["channel"] == CHANNEL
    assert read(caller.post(f"/api/v1/notifications/{told.id}/resend", {}), 202)["status"] == "pending"
