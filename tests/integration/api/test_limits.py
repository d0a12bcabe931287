"""Each limit that the schema tells, from both sides: what it allows is accepted, one more is refused by its name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from notifications.models import Notification
from notifier.environment import BASE_DIR

from .callers import Caller

SCHEMA = yaml.safe_load((BASE_DIR / "docs/openapi.yaml").read_text())["components"]["schemas"]
SMS = {"channel": "sms", "to": "+14155552671", "message": "hello"}
# By the name of its schema: where it is posted, and what is accepted.
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "NewSlackMessageRequest": ("slack", {"message": "hello"}),
    "NewMailRequest": ("mail", {"message": "hello", "send_to": "ann@example.com", "subject": "Hello"}),
    "NewSmsRequest": ("sms", {"message": "hello", "send_to_number": "+14155552671"}),
    "SlackNotificationRequest": ("notifications", {"channel": "slack", "message": "hello"}),
    "EmailNotificationRequest": (
        "notifications",
        {"channel": "email", "to": "ann@example.com", "message": "hello", "subject": "Hello"},
    ),
    "SmsNotificationRequest": ("notifications", SMS),
}
LENGTHS = [
    (name, field, shape["maxLength"])
    for name in BODIES
    for field, shape in SCHEMA[name]["properties"].items()
    if "maxLength" in shape
]


def text(field: str, shape: dict[str, Any], length: int) -> str:
    """As long, and otherwise good."""
    if shape.get("format") != "email":
        return "x" * length
    labels = f"{'d' * 62}." * 3  # 63 characters at most in each
    rest = length - len("a@") - len(labels) - len(".com")
    return f"a@{labels}{'e' * rest}.com"


def posted(caller: Caller, name: str, **changed: Any) -> tuple[int, set[str]]:
    """The status, and the fields to mend."""
    path, body = BODIES[name]
    answer = caller.post(f"/api/v1/{path}", {**body, **changed})
    return answer.status_code, {error["field"] for error in json.loads(answer.content).get("errors", ())}


@pytest.mark.parametrize("name", BODIES)
def test_what_the_tests_send_is_as_the_schema_says(name: str) -> None:
    _, body = BODIES[name]
    blank = {"to": "", "subject": ""} if body.get("channel") == "slack" else {}
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMA}}
    Draft202012Validator(schema).validate({**body, **blank})


def test_every_text_that_is_sent_has_its_limit_in_the_schema() -> None:
    assert {(name, field) for name, field, _ in LENGTHS} >= {
        *((name, "message") for name in BODIES),
        *((name, "subject") for name in BODIES if "subject" in SCHEMA[name]["properties"]),
        ("NewMailRequest", "send_to"),
        ("EmailNotificationRequest", "to"),
    }


@pytest.mark.parametrize(("name", "field", "limit"), LENGTHS)
def test_a_text_may_be_as_long_as_the_schema_says_and_no_longer(
    caller: Caller, name: str, field: str, limit: int
) -> None:
    shape = SCHEMA[name]["properties"][field]

    assert posted(caller, name, **{field: text(field, shape, limit)}) == (202, set())
    assert posted(caller, name, **{field: text(field, shape, limit + 1)}) == (400, {field})


def test_the_limit_of_a_mail_is_in_bytes(caller: Caller) -> None:
    limit = SCHEMA["NewMailRequest"]["properties"]["message"]["maxLength"]

    assert posted(caller, "NewMailRequest", message="é" * (limit // 2)) == (202, set())
    assert posted(caller, "NewMailRequest", message="é" * (limit // 2) + "x") == (400, {"message"})


@pytest.mark.parametrize(("name", "field"), [("NewSmsRequest", "send_to_number"), ("SmsNotificationRequest", "to")])
def test_a_number_has_fifteen_digits_at_most(caller: Caller, name: str, field: str) -> None:
    longest = "+491512345678901"  # Germany's are among the longest

    assert posted(caller, name, **{field: longest}) == (202, set())
    assert posted(caller, name, **{field: f"{longest}2"}) == (400, {field})


@pytest.mark.parametrize(("number", "status"), [(0, 400), (1, 202), (1000, 202), (1001, 400)])
def test_a_batch_has_as_many_as_the_schema_says(caller: Caller, number: int, status: int) -> None:
    shape = SCHEMA["NewBatchRequest"]["properties"]["notifications"]
    assert (shape["minItems"], shape["maxItems"]) == (1, 1000)

    assert caller.post("/api/v1/notifications/batch", {"notifications": [SMS] * number}).status_code == status
    assert Notification.objects.count() == (number if status == 202 else 0)


@pytest.mark.parametrize(("size", "wanted"), [(4096, (202, set())), (4097, (400, {"metadata"}))])
def test_metadata_have_4096_bytes_at_most(caller: Caller, size: int, wanted: tuple[int, set[str]]) -> None:
    frame = len(json.dumps({"note": ""}))

    assert posted(caller, "SmsNotificationRequest", metadata={"note": "x" * (size - frame)}) == wanted


@pytest.mark.parametrize(
    ("field", "ahead", "wanted"),
    [
        ("send_at", timedelta(days=366), (202, set())),
        ("send_at", timedelta(days=366, minutes=1), (400, {"send_at"})),
        ("expires_at", timedelta(minutes=1), (202, set())),
        ("expires_at", timedelta(0), (400, {"expires_at"})),
    ],
)
def test_times_are_within_a_year_and_ends_to_come(
    caller: Caller, field: str, ahead: timedelta, wanted: tuple[int, set[str]]
) -> None:
    moment = (datetime.now(UTC) + ahead).isoformat()

    assert posted(caller, "SmsNotificationRequest", **{field: moment}) == wanted


@pytest.mark.parametrize(
    ("query", "status"),
    [
        *(({"limit": "1"}, 200), ({"limit": "0"}, 400), ({"limit": "200"}, 200), ({"limit": "201"}, 400)),
        *(({"correlation_id": "x" * 128}, 200), ({"correlation_id": "x" * 129}, 400)),
    ],
)
def test_the_query_of_a_list_has_limits(caller: Caller, query: dict[str, str], status: int) -> None:
    assert caller.get("/api/v1/notifications", **query).status_code == status


@pytest.mark.parametrize(
    ("key", "status"),
    [
        *(("k", 202), ("k" * 255, 202), ("k" * 256, 400), ("", 400)),
        *((f'"{"k" * 255}"', 202), (f'"{"k" * 256}"', 400), ('""', 400)),
    ],
)
def test_a_key_has_one_to_255_characters(caller: Caller, key: str, status: int) -> None:
    assert caller.post("/api/v1/notifications", SMS, key=key).status_code == status
