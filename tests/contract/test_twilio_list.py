"""Twilio's list of messages, read for a send whose answer never came: what counts as found, and what an error means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from channels.contract import ChannelError, ConfigurationError, RateLimited, Receipt, TransientError
from channels.twilio_list import PAGE, PAGES
from channels.twilio_sms import TwilioSms
from tests.contract.providers import ACCOUNT, MESSAGE, TOKEN, kind
from tests.contract.stand_in import Answer, HttpStandIn, Instead, http_answer
from tests.ports import free_port

NUMBER, SERVICE = "+15005550006", "MG" + "c" * 32
SENT = MESSAGE._replace(to="+15005550010")
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def twilio() -> Iterator[HttpStandIn]:
    with HttpStandIn() as stand_in:
        yield stand_in


def backend(port: int, **sender: str) -> TwilioSms:
    sender = sender or {"from_number": NUMBER}
    options = {"account_sid": ACCOUNT, "auth_token": TOKEN, "base_url": f"http://localhost:{port}", **sender}
    return TwilioSms.from_options(options)


def listed(number: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "sid": f"SM{number:032x}",
        "to": SENT.to,
        "from": NUMBER,
        "messaging_service_sid": None,
        "body": SENT.body,
        "direction": "outbound-api",
        "status": "queued",
        "error_code": None,
        "date_sent": None,
        "date_created": format_datetime(BEGAN + timedelta(seconds=number)),
        **other,
    }


def page(*messages: dict[str, Any], following: str | None = None) -> bytes:
    body = {"messages": messages, "page": 0, "page_size": PAGE, "uri": "/x", "next_page_uri": following}
    return http_answer(200, json.dumps(body).encode(), Content_Type="application/json")


def looked_up(twilio: HttpStandIn, answer: Answer, made: TwilioSms | None = None) -> list[Receipt] | ChannelError:
    twilio.answer = answer
    made = made or backend(twilio.port)
    try:
        return list(made.look_up(SENT, since=BEGAN))
    except ChannelError as error:
        return error
    finally:
        made.close()


def sids(found: list[Receipt] | ChannelError) -> list[str]:
    assert isinstance(found, list)
    return [receipt.provider_id for receipt in found]


def test_the_same_text_to_the_same_number_is_found_oldest_first(twilio: HttpStandIn) -> None:
    found = looked_up(twilio, page(listed(2, status="delivered"), listed(1)))
    assert found == [
        Receipt(provider_id=listed(1)["sid"], detail="queued"),
        Receipt(provider_id=listed(2)["sid"], detail="delivered"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"body": "Your code is 493022"},
        {"body": ""},
        {"body": None},
        {"to": "+15005550011"},
        {"from": "+15005550007"},
        {"direction": "inbound"},
        {"direction": "outbound-reply"},
        {"date_created": format_datetime(BEGAN - timedelta(seconds=1))},
        {"date_created": None},
        {"date_created": "someday"},
        {"sid": None},
        {"sid": "CA" + "b" * 32},
    ],
    ids=repr,
)
def test_what_differs_in_anything_is_not_found(twilio: HttpStandIn, other: dict[str, Any]) -> None:
    assert looked_up(twilio, page(listed(**other))) == []


def test_what_differs_in_the_white_space_around_it_is_found(twilio: HttpStandIn) -> None:
    assert sids(looked_up(twilio, page(listed(body=f" {SENT.body}\n")))) == [listed()["sid"]]


def test_a_messaging_service_is_known_by_itself_whatever_number_it_picked(twilio: HttpStandIn) -> None:
    mine = listed(1, messaging_service_sid=SERVICE, **{"from": "+15005550099"})
    anothers = listed(2, messaging_service_sid="MG" + "d" * 32)
    found = looked_up(twilio, page(anothers, mine), backend(twilio.port, messaging_service_sid=SERVICE))
    assert sids(found) == [mine["sid"]]


@pytest.mark.parametrize(
    ("status", "error_code", "code"),
    [
        ("undelivered", 30003, "30003"),
        ("failed", 21610, "21610"),
        ("failed", None, "failed"),
        ("canceled", 0, "canceled"),
    ],
)
def test_what_twilio_did_not_get_through_bears_its_code(
    twilio: HttpStandIn, status: str, error_code: int | None, code: str
) -> None:
    found = looked_up(twilio, page(listed(status=status, error_code=error_code)))
    assert found == [Receipt(provider_id=listed()["sid"], code=code, detail=status)]


def test_the_recipient_and_the_sender_are_asked_for_and_no_date(twilio: HttpStandIn) -> None:
    looked_up(twilio, page())
    (request,) = twilio.requests
    where = urlsplit(request.path)
    assert where.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert parse_qs(where.query) == {"To": [SENT.to], "From": [NUMBER], "PageSize": [str(PAGE)]}
    assert request.headers["x-correlation-id"] == SENT.correlation_id


def test_pages_are_read_while_they_are_young_and_no_more_than_a_few(twilio: HttpStandIn) -> None:
    more = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1&PageToken=PASM1"
    assert len(sids(looked_up(twilio, page(listed(1), following=more)))) == 1
    assert len(twilio.requests) == PAGES
    twilio.requests.clear()
    old = listed(2, date_created=format_datetime(BEGAN - timedelta(days=1)))
    looked_up(twilio, page(listed(1), old, following=more))
    assert len(twilio.requests) == 1


def test_a_page_of_the_longest_texts_is_read_whole(twilio: HttpStandIn) -> None:
    long = [listed(number, body="🎉" * 1600) for number in range(PAGE, 1, -1)]
    assert sids(looked_up(twilio, page(*long, listed(1)))) == [listed(1)["sid"]]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http_answer(401, json.dumps({"code": 20003, "message": "no", "status": 401}).encode()), ConfigurationError),
        (http_answer(429, b"{}", Retry_After="7"), RateLimited),
        (http_answer(503), TransientError),
        (http_answer(200, b"<html>"), TransientError),
        (http_answer(200, b"[]"), TransientError),
        (http_answer(200, b'{"messages": 5}'), TransientError),
        (http_answer(200, b'{"messages": [5]}'), TransientError),
        (http_answer(200, b"[" * 60_000), TransientError),
        (Instead.HANG_UP, TransientError),
    ],
)
def test_a_look_up_that_is_not_answered_says_why(
    twilio: HttpStandIn, answer: Answer, expected: type[ChannelError]
) -> None:
    assert type(looked_up(twilio, answer)) is expected


def test_nobody_listening_is_no_answer() -> None:
    with pytest.raises(TransientError) as failure:
        backend(free_port()).look_up(SENT, since=BEGAN)
    assert kind(failure.value) == "not sent"
