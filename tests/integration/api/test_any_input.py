"""Whatever is posted, the answer is an acceptance or a problem that names its field; never our fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.models import IdempotencyRecord, Notification
from tests.factories import NotificationFactory

from .callers import Caller

FIELDS = {
    "/api/v1/slack": ["message", "blocks", "attachments"],
    "/api/v1/mail": ["message", "send_to", "subject", "html", "reply_to", "headers", "attachments"],
    "/api/v1/sms": ["message", "send_to_number"],
    "/api/v1/notifications": [
        *("channel", "to", "message", "subject", "send_at", "expires_at", "priority", "metadata", "content"),
    ],
}
PLAUSIBLE = st.sampled_from(
    [
        *("hello", "slack", "email", "sms", "default", "ann@example.com", "+14155552671", "high", "low"),
        *("2030-01-31T09:30:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-12-31T23:59:60Z"),
        *({"order": 42}, {"big": 10**400}, {"small": 1e-320}, {"": ""}),
    ]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


# And what is nearly a content: the right names and kinds, with anything in them.
FILE = st.fixed_dictionaries(
    {"name": st.sampled_from(["a.pdf", "../a", ""]) | ODD, "content": st.sampled_from(["AA==", "A", ""]) | ODD},
    optional={"content_type": st.sampled_from(["text/csv", "text/a\r\nb"]) | ODD},
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["section", "header", "image", "context", "actions", "input", "markdown", "x"]) | ODD},
    optional={
        name: st.fixed_dictionaries({"type": st.just("mrkdwn") | ODD, "text": ODD}) | st.lists(ODD, max_size=2) | ODD
        for name in ("text", "fields", "elements", "block_id", "alt_text", "image_url", "label", "element")
    },
)
CONTENT_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "html": ODD | st.just("<p>"),
    "reply_to": ODD | st.lists(st.just("ann@example.com") | ODD, max_size=2),
    "headers": st.dictionaries(st.sampled_from(["X-A", "x-a", "Bcc", "List-Unsubscribe"]), ODD | st.just("v")) | ODD,
    "attachments": st.lists(FILE | ODD, max_size=2) | ODD,
    "blocks": st.lists(BLOCK | ODD, max_size=2) | ODD,
}
CONTENT = ODD | st.fixed_dictionaries({}, optional=CONTENT_FIELDS)


@st.composite
def posts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    path = draw(st.sampled_from(sorted(FIELDS)))
    fields = draw(st.sets(st.sampled_from(FIELDS[path]), min_size=len(FIELDS[path]) // 2))
    return path, {
        field: draw(CONTENT if field == "content" else CONTENT_FIELDS.get(field, PLAUSIBLE | ODD))
        for field in sorted(fields)
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(post=posts())
def test_any_object_is_accepted_or_told_what_is_wrong_with_it(caller: Caller, post: tuple[str, dict[str, Any]]) -> None:
    path, body = post
    before = Notification.objects.count()
    answer = caller.post(path, body)

    told = json.loads(answer.content)
    stored = Notification.objects.count() - before
    if answer.status_code == 202:
        assert stored == 1
        shown = json.loads(caller.get(told["links"]["self"]).content)
        assert (shown["message"], shown["metadata"]) == (body["message"], body.get("metadata", {}))
    else:
        assert (answer.status_code, stored) == (400, 0), told
        assert told["code"] == "malformed_json" or told["errors"]


# What else takes a body, and the fields that it has.
OTHERS = {
    "/api/v1/notifications/batch": ["notifications"],
    "/api/v1/notifications/resend": [
        *("status", "channel", "to", "correlation_id", "metadata", "since", "until", "cursor", "limit"),
    ],
    "/api/v1/notifications/{id}/resend": [],
    "/api/v1/notifications/{id}/cancel": [],
    "/api/v1/notifications/{id}/reschedule": ["send_at"],
    "/api/v1/webhooks": ["url", "events", "description"],
}
# What some of these take, and what leads on from there.
LIKELY = PLAUSIBLE | st.sampled_from(
    [
        *("failed", "unknown", "https://example.com/told", "01a20000-0000-7000-8000-00000000000e", 1, 1000, 1e3, []),
        *(
            ["sent", "failed"],
            [{"channel": "sms", "to": "+14155552671", "message": "hello"}],
            [{}],
            [None],
            ["sent"] * 9,
        ),
    ]
)


GOOD = {
    "/api/v1/slack": {"message": "hello"},
    "/api/v1/mail": {"message": "hello", "send_to": "ann@example.com", "subject": "Hello"},
    "/api/v1/notifications": {"channel": "email", "to": "ann@example.com", "message": "hello", "subject": "Hello"},
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_content_is_accepted_or_told_what_is_wrong_with_it(caller: Caller, data: st.DataObject) -> None:
    """All else is good, so that it comes to that."""
    path = data.draw(st.sampled_from(sorted(GOOD)))
    content = data.draw(st.fixed_dictionaries({}, optional=CONTENT_FIELDS))
    beyond = {"content": content} if path == "/api/v1/notifications" else content

    answer = caller.post(path, {**GOOD[path], **beyond})

    told = json.loads(answer.content)
    if answer.status_code == 202:
        assert json.loads(caller.get(told["links"]["self"]).content)["content"].keys() == content.keys()
    else:
        assert answer.status_code == 400, told
        assert told["code"] == "malformed_json" or told["errors"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_posted_elsewhere_is_answered_and_never_our_fault(caller: Caller, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(OTHERS)))
    known = data.draw(st.sets(st.sampled_from([*OTHERS[path], "another"])))
    body = {field: data.draw(LIKELY | ODD) for field in sorted(known)}

    answer = caller.post(path.replace("{id}", str(NotificationFactory(client=caller.client).id)), body)

    assert answer.status_code in {200, 201, 202, 400, 409}, answer.content
    if answer.status_code == 400:
        told = json.loads(answer.content)
        assert told["code"] == "malformed_json" or told["errors"]


QUERY = ("status", "channel", "to", "correlation_id", "metadata[a]", "since", "until", "cursor", "limit", "another")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.dictionaries(st.sampled_from(QUERY) | st.text(max_size=5), LIKELY.map(str) | st.text(max_size=20)))
def test_any_query_is_answered_or_told_what_is_wrong_with_it(caller: Caller, query: dict[str, str]) -> None:
    answer = caller.get("/api/v1/notifications", **query)

    assert answer.status_code in {200, 400}, answer.content
    assert answer.status_code == 200 or json.loads(answer.content)["errors"]


@pytest.mark.parametrize("path", sorted(FIELDS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_bad_request(caller: Caller, path: str, raw: bytes) -> None:
    assert caller.post(path, raw).status_code == 400
    assert not IdempotencyRecord.objects.exists()
