from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings
from uuid_utils.compat import uuid7

from notifications.states import Status
from tests.factories import AttemptFactory, NotificationFactory

from .callers import SMS, Caller

LIST = "/api/v1/notifications"


def read(caller: Caller, path: str, **query: str) -> Any:
    answer = caller.get(path, **query)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


def ids(page: Any) -> list[str]:
    return [row["id"] for row in page["results"]]


def test_what_was_accepted_can_be_read_where_the_answer_said(caller: Caller) -> None:
    accepted = json.loads(caller.post("/api/v1/sms", SMS, key="k").content)

    found = read(caller, accepted["links"]["self"])
    assert {name: found[name] for name in accepted} == accepted
    assert found["message"] == "hello"
    assert found["attempts"] == []
    assert found["priority"] == "normal"
    assert found["finished_at"] is None


def test_one_notification_carries_its_attempts_in_order(caller: Caller) -> None:
    sent = NotificationFactory(client=caller.client, status="sent", attempt=2)
    last = AttemptFactory(notification=sent, number=2, possible_duplicate=True)
    AttemptFactory(notification=sent, number=1, outcome="transient", code="503", detail="busy")

    found = read(caller, f"{LIST}/{sent.id}")
    assert found["status"] == "sent"
    assert [attempt["number"] for attempt in found["attempts"]] == [1, 2]
    assert found["attempts"][1] == {
        "number": 2,
        "started_at": last.started_at.isoformat().replace("+00:00", "Z"),
        "finished_at": last.finished_at.isoformat().replace("+00:00", "Z"),
        "outcome": "accepted",
        "code": "",
        "detail": "",
        "backend": "sms_test",
        "possible_duplicate": True,
    }


@pytest.mark.parametrize("status", list(Status))
def test_a_notification_in_every_state_can_be_read(caller: Caller, status: Status) -> None:
    one = NotificationFactory(client=caller.client, status=status.value)

    assert read(caller, f"{LIST}/{one.id}")["status"] == status.value
    assert ids(read(caller, LIST, status=status.value)) == [str(one.id)]


def test_a_failed_one_says_why(caller: Caller) -> None:
    failed = NotificationFactory(client=caller.client, status="failed", error_code="21211")
    assert read(caller, f"{LIST}/{failed.id}")["error_code"] == "21211"


@pytest.mark.parametrize("unknown", [str(uuid4()), "42", "not-an-id", "%00", "x" * 300])
def test_what_does_not_exist_is_not_found(caller: Caller, unknown: str) -> None:
    answer = caller.get(f"{LIST}/{unknown}")

    assert answer.status_code == 404
    assert json.loads(answer.content)["code"] == "not_found"


def test_another_clients_notification_is_not_found(caller: Caller, other: Caller) -> None:
    one = NotificationFactory(client=other.client)

    assert caller.get(f"{LIST}/{one.id}").status_code == 404
    assert other.get(f"{LIST}/{one.id}").status_code == 200


def test_a_list_is_newest_first_and_the_clients_own(caller: Caller, other: Caller) -> None:
    mine = [NotificationFactory(client=caller.client, id=uuid7()) for _ in range(3)]
    NotificationFactory(client=other.client)

    page = read(caller, LIST)
    assert ids(page) == [str(one.id) for one in reversed(mine)]
    assert page["next"] is None
    assert "message" not in page["results"][0]


def test_an_empty_list_is_a_list(caller: Caller) -> None:
    assert read(caller, LIST) == {"results": [], "next": None}


def test_next_leads_through_every_page_once(caller: Caller) -> None:
    mine = [NotificationFactory(client=caller.client) for _ in range(5)]

    seen: list[str] = []
    page = read(caller, LIST, limit="2", channel="sms")
    while True:
        seen += ids(page)
        if page["next"] is None:
            break
        assert page["next"].startswith("http://testserver/api/v1/notifications?")
        assert "channel=sms" in page["next"]
        NotificationFactory(client=caller.client)  # one that comes in meanwhile shifts nothing
        page = read(caller, page["next"].removeprefix("http://testserver"))
    assert seen == [str(one.id) for one in reversed(mine)]


def test_a_page_has_50_unless_asked_and_200_at_most(caller: Caller) -> None:
    NotificationFactory.create_batch(51, client=caller.client)

    assert len(ids(read(caller, LIST))) == 50
    assert len(ids(read(caller, LIST, limit="200"))) == 51


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": "0"}, {"limit": "201"}, {"limit": "many"}, {"cursor": "x"}, {"status": "lost"}),
        *({"staus": "failed"}, {"correlation_id": "\x00"}, {"channel": "\x00"}, {"limit": "9" * 5000}),
        *({"to": "\x00"}, {"to": ""}, {"since": "yesterday"}, {"until": "2030-01-31"}, {"metadata": "order"}),
        {"channel": "mail"},  # the address is /mail and the channel email: an empty page would not say so
    ],
)
def test_a_bad_query_names_its_parameter(caller: Caller, query: dict[str, str]) -> None:
    answer = caller.get(LIST, **query)

    assert answer.status_code == 400, answer.content
    assert {error["field"] for error in json.loads(answer.content)["errors"]} == set(query)


def test_a_parameter_that_is_given_twice_is_refused(caller: Caller) -> None:
    answer = caller.get(f"{LIST}?status=failed&status=unknown")

    assert answer.status_code == 400
    assert [error["code"] for error in json.loads(answer.content)["errors"]] == ["repeated"]


def test_a_list_takes_the_same_few_queries_whatever_its_length(caller: Caller, django_assert_num_queries: Any) -> None:
    NotificationFactory.create_batch(10, client=caller.client)
    with django_assert_num_queries(1):  # the rows; neither the key nor which rows is a query of the ORM
        caller.get(LIST)


def test_the_story_tells_attempts_waits_and_what_comes_next(caller: Caller) -> None:
    accepted = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    due = datetime.now(UTC) + timedelta(hours=1)
    one = NotificationFactory(client=caller.client, attempt=2, tries=1, created_at=accepted, due_at=due)
    first, second = accepted + timedelta(seconds=1), accepted + timedelta(seconds=5)
    for number, at, outcome, code in ((1, first, "transient", "503"), (2, second, "rate_limited", "429")):
        AttemptFactory(notification=one, number=number, started_at=at, finished_at=at, outcome=outcome, code=code)

    found = read(caller, f"{LIST}/{one.id}")

    told = [(entry["event"], entry["attempt"], entry["outcome"], entry["code"]) for entry in found["timeline"]]
    assert told == [
        ("accepted", None, "", ""),
        ("wait", None, "", ""),
        ("attempt", 1, "transient", "503"),
        ("wait", None, "", ""),
        ("attempt", 2, "rate_limited", "429"),
        ("wait", None, "", ""),
    ]
    waits = [(e["at"], e["until"], e["detail"]) for e in found["timeline"] if e["event"] == "wait"]
    assert waits == [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:01Z", "until it is due, and a worker is free"),
        ("2026-01-31T09:30:01Z", "2026-01-31T09:30:05Z", "to try again after a passing trouble"),
        ("2026-01-31T09:30:05Z", found["due_at"], "because the provider asked for patience"),
    ]
    assert found["next"] == {"what": "It is tried again when it is due.", "at": found["due_at"]}


def test_what_was_done_by_hand_is_no_wait(caller: Caller) -> None:
    one = json.loads(caller.post("/api/v1/sms", SMS).content)["id"]
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    caller.post(f"{LIST}/{one}/reschedule", {"send_at": later})

    found = read(caller, f"{LIST}/{one}")

    assert [(e["event"], e["by"]) for e in found["timeline"]] == [
        ("accepted", ""),
        ("rescheduled", f"client {caller.client.name}"),
    ]
    assert found["next"]["what"] == "It is sent when it is due."


@pytest.fixture
def spare(settings: Settings) -> None:
    """SMS has a second provider."""
    known = settings.NOTIFIER_CHANNELS
    backup = {**known["sms"], "name": "spare", "backend": "channels.slack.SlackWebhook"}
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "backups": [backup]}}


def test_the_story_tells_by_which_backend_it_is_sent_next(caller: Caller, spare: None) -> None:
    ended = datetime.now(UTC) - timedelta(hours=1)
    row = NotificationFactory(client=caller.client, lane="sms@spare", attempt=1, due_at=ended + timedelta(hours=2))
    AttemptFactory(
        notification=row, number=1, started_at=ended, finished_at=ended, outcome="transient", backend="twilio_sms"
    )

    found = read(caller, f"{LIST}/{row.id}")

    assert found["next"]["what"] == "It is tried again by slack_webhook, the backup spare, when it is due."
    waits = [entry["detail"] for entry in found["timeline"] if entry["event"] == "wait"]
    assert waits[-1] == "to try again after a passing trouble, by slack_webhook"


@pytest.mark.parametrize(
    ("channel", "body", "measures"),
    [
        ("sms", "a" * 161, {"encoding": "GSM-7", "segments": 2}),
        ("sms", "жук", {"encoding": "UCS-2", "segments": 1}),
        ("email", "hello", {}),
        ("slack", "hello", {}),
    ],
)
def test_one_tells_what_its_text_measures(caller: Caller, channel: str, body: str, measures: dict[str, object]) -> None:
    one = NotificationFactory(client=caller.client, channel=channel, body=body)

    assert read(caller, f"{LIST}/{one.id}")["measures"] == measures
