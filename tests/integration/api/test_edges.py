"""The edges of every field, beyond its length: what is just inside is taken, what is just outside is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from channels.text import LOCAL_LIMIT
from notifications.models import Notification
from notifications.states import Priority

from .callers import Caller

SLACK = {"channel": "slack", "message": "hello"}
EMAIL = {"channel": "email", "to": "ann@example.com", "subject": "Hi", "message": "hello"}
SMS = {"channel": "sms", "to": "+14155552671", "message": "hello"}
SOON = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%S")

# The body, the field, what is just inside, what is just outside.
EDGES: list[tuple[dict[str, Any], str, Any, Any]] = [
    *((SLACK, "channel", "slack", outside) for outside in ("Slack", "slack ", "")),
    *((body, "message", "x", outside) for body in (SLACK, EMAIL, SMS) for outside in ("", " ", "\u2028")),
    (SLACK, "message", "\ud7ff\ue000\U0010ffff\x01", "\u3000"),
    (SLACK, "message", " x ", " \n "),
    (SLACK, "to", "ops", "Ops"),
    (SLACK, "to", "", " "),
    (SLACK, "subject", "", " "),
    (SMS, "subject", "", "x"),
    (EMAIL, "subject", "x", " "),
    *((EMAIL, "subject", "a\u00a0b", f"a{control}b") for control in ("\n", "\t", "\x7f", "\x85", "\u2028", "\u2029")),
    (EMAIL, "to", f"{'a' * LOCAL_LIMIT}@example.com", f"{'a' * (LOCAL_LIMIT + 1)}@example.com"),
    (EMAIL, "to", f"a@{'d' * 63}.com", f"a@{'d' * 64}.com"),
    (EMAIL, "to", "a@münchen.example", "ä@example.com"),
    (EMAIL, "to", "a@example.com", "a@example.com "),
    (EMAIL, "to", "a.b@example.com", "a..b@example.com"),
    (EMAIL, "to", "a@sub.example.com", "a@[127.0.0.1]"),
    (SMS, "to", "+14155552671", "14155552671"),
    (SMS, "to", "+14155552671", "+04155552671"),
    (SMS, "to", "+14155552671", "+141555526711"),  # North America's have ten digits
    (SMS, "to", "+14155552671", "+1 415 555 2671"),
    *((SLACK, "priority", name.name.lower(), name.name) for name in Priority),
    (SLACK, "metadata", {}, []),
    (SLACK, "metadata", {"": ""}, {"": None}),
    (SLACK, "metadata", {"a": 0.5, "b": -1, "c": "d"}, {"a": False}),
    (SLACK, "metadata", {"a": "{}"}, {"a": {}}),
    *((SLACK, field, None, "") for field in ("send_at", "expires_at")),
    *((SLACK, field, f"{SOON}Z", SOON) for field in ("send_at", "expires_at")),
    *((SLACK, field, f"{SOON}.{'1' * 9}Z", f"{SOON}.{'1' * 10}Z") for field in ("send_at", "expires_at")),
    *((SLACK, field, f"{SOON}+23:59", f"{SOON}+24:00") for field in ("send_at", "expires_at")),
    (SLACK, "send_at", "2001-02-28T23:59:59Z", "2001-02-29T00:00:00Z"),
]


@pytest.mark.parametrize(("body", "field", "inside", "outside"), EDGES)
def test_what_is_just_inside_is_taken_and_what_is_just_outside_is_refused_by_its_name(
    caller: Caller, body: dict[str, Any], field: str, inside: Any, outside: Any
) -> None:
    taken = caller.post("/api/v1/notifications", {**body, field: inside})
    assert taken.status_code == 202, taken.content

    refused = caller.post("/api/v1/notifications", {**body, field: outside})
    told = json.loads(refused.content)
    assert (refused.status_code, told["code"]) == (400, "invalid"), told
    assert {error["field"] for error in told["errors"]} == {field}
    assert Notification.objects.count() == 1


@pytest.mark.parametrize(("send_at", "expires_at", "status"), [("", ".001", 202), ("", "", 400), (".001", "", 400)])
def test_an_end_comes_after_the_beginning(caller: Caller, send_at: str, expires_at: str, status: int) -> None:
    times = {"send_at": f"{SOON}{send_at}Z", "expires_at": f"{SOON}{expires_at}Z"}
    answer = caller.post("/api/v1/notifications", {**SLACK, **times})

    assert answer.status_code == status
    mended = [error["field"] for error in json.loads(answer.content).get("errors", ())]
    assert mended == ([] if status == 202 else ["expires_at"])


@pytest.mark.parametrize("path", ["/api/v1/slack", "/api/v1/notifications", "/api/v1/notifications/batch"])
def test_a_body_has_its_limit_to_the_byte(caller: Caller, settings: Settings, path: str) -> None:
    limit = settings.BODY_LIMITS.get(path, settings.REQUEST_BODY_LIMIT)
    bodies = {"/api/v1/slack": {"message": "hello"}, "/api/v1/notifications": SLACK}
    body = json.dumps(bodies.get(path, {"notifications": [SLACK]})).encode()

    assert caller.post(path, body.ljust(limit)).status_code == 202
    assert caller.post(path, body.ljust(limit + 1)).status_code == 413
