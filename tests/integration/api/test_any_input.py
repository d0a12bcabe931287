"""Whatever is posted, the answer is an acceptance or a problem that names its field; never our fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.models import IdempotencyRecord, Notification

from .callers import Caller

FIELDS = {
    "/api/v1/slack": ["message"],
    "/api/v1/mail": ["message", "send_to", "subject"],
    "/api/v1/sms": ["message", "send_to_number"],
    "/api/v1/notifications": [
        *("channel", "to", "message", "subject", "send_at", "expires_at", "priority", "metadata"),
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


@st.composite
def posts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    path = draw(st.sampled_from(sorted(FIELDS)))
    fields = draw(st.sets(st.sampled_from(FIELDS[path]), min_size=len(FIELDS[path]) // 2))
    return path, {field: draw(PLAUSIBLE | ODD) for field in sorted(fields)}


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


@pytest.mark.parametrize("path", sorted(FIELDS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_bad_request(caller: Caller, path: str, raw: bytes) -> None:
    assert caller.post(path, raw).status_code == 400
    assert not IdempotencyRecord.objects.exists()
