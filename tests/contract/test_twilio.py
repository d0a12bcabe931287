"""Twilio's own rows: every code that the provider rules name, and what else may come from its address."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from channels.contract import ChannelError, PermanentError, RateLimited, Receipt, Refused, TransientError
from channels.twilio_sms import TwilioSms
from tests.contract.providers import ACCOUNT, MESSAGE, TOKEN, Twilio, kind, outcome, served
from tests.contract.stand_in import HttpStandIn, http_answer

SID = "SM" + "b" * 32


@pytest.fixture
def twilio() -> Iterator[HttpStandIn]:
    with served(Twilio()) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        yield stand_in


def says(status: int, body: object, **headers: str) -> bytes:
    return http_answer(status, json.dumps(body).encode(), Content_Type="application/json", **headers)


def refuses(status: int, code: int, **headers: str) -> bytes:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return says(status, {"code": code, "message": "No.", "more_info": more, "status": status}, **headers)


def answered(twilio: HttpStandIn, answer: bytes) -> Receipt | ChannelError:
    twilio.answer = answer
    provider = Twilio()
    return outcome(provider.backend(twilio.port), provider.message)


# https://www.twilio.com/docs/api/errors
@pytest.mark.parametrize(
    ("code", "refused"),
    [
        (21211, Refused.MESSAGE),
        (21212, Refused.MESSAGE),
        (21612, Refused.MESSAGE),
        (21614, Refused.MESSAGE),
        (21617, Refused.MESSAGE),
        (21610, Refused.OPTED_OUT),
        (21999, Refused.MESSAGE),  # any other 400
    ],
)
def test_a_refused_message_is_permanent(twilio: HttpStandIn, code: int, refused: Refused) -> None:
    error = answered(twilio, refuses(400, code))
    assert isinstance(error, PermanentError)
    assert (error.code, error.refuses) == (str(code), refused)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 20003), (403, 20003), (400, 21606), (400, 21408), (400, 21608), (400, 30002), (401, 99999)],
)
def test_a_refused_account_or_sender_is_a_matter_of_configuration(twilio: HttpStandIn, status: int, code: int) -> None:
    error = answered(twilio, refuses(status, code))
    assert isinstance(error, ChannelError)
    assert (kind(error), error.code) == ("configuration", str(code))


@pytest.mark.parametrize("code", [21611, 30001])
def test_a_full_queue_is_tried_again_after_a_long_while(twilio: HttpStandIn, code: int) -> None:
    error = answered(twilio, refuses(400, code))
    assert isinstance(error, TransientError)
    assert not error.outcome_unknown
    assert error.retry_after is not None
    assert error.retry_after >= timedelta(minutes=5)


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (429, 0), (400, 20429), (503, 20429)])
def test_too_many_requests_were_never_executed(twilio: HttpStandIn, status: int, code: int) -> None:
    error = answered(twilio, refuses(status, code, Retry_After="7"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(("status", "code"), [(500, 20500), (503, 20503), (500, 21211), (502, 0)])
def test_a_server_error_leaves_the_fate_unknown(twilio: HttpStandIn, status: int, code: int) -> None:
    assert kind(answered(twilio, refuses(status, code))) == "unknown"


@pytest.mark.parametrize("code", [30003, 30004, 30005, 30006, 30007, 30008])
def test_a_message_created_as_failed_is_permanent(twilio: HttpStandIn, code: int) -> None:
    error = answered(twilio, says(201, {"sid": SID, "status": "failed", "error_code": code}))
    assert isinstance(error, PermanentError)
    assert error.code == str(code)


def test_a_message_created_as_failed_for_an_opted_out_recipient_says_that_it_opted_out(twilio: HttpStandIn) -> None:
    error = answered(twilio, says(201, {"sid": SID, "status": "failed", "error_code": 21610}))
    assert isinstance(error, PermanentError)
    assert (error.code, error.refuses) == ("21610", Refused.OPTED_OUT)


def test_a_message_created_and_dropped_by_a_full_queue_is_tried_again(twilio: HttpStandIn) -> None:
    error = answered(twilio, says(201, {"sid": SID, "status": "failed", "error_code": 30001}))
    assert kind(error) == "not sent"


def test_a_created_message_is_sent_and_its_sid_kept(twilio: HttpStandIn) -> None:
    receipt = answered(twilio, says(201, {"sid": SID, "status": "accepted"}))
    assert receipt == Receipt(provider_id=SID, code="201", detail="accepted")


@pytest.mark.parametrize("body", [{}, [], None, "SM", {"sid": None}, {"sid": 5}, {"sid": "CA" + "b" * 32}])
def test_a_creation_in_words_that_are_not_twilios_leaves_the_fate_unknown(twilio: HttpStandIn, body: object) -> None:
    assert kind(answered(twilio, says(201, body))) == "unknown"


def test_a_created_message_is_sent_however_odd_its_other_fields(twilio: HttpStandIn) -> None:
    odd = {"sid": SID, "status": "queued", "date_created": "someday", "error_code": "none at all"}
    assert kind(answered(twilio, says(201, odd))) == "sent"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http_answer(201, b"<html>"), "unknown"),
        (http_answer(200, b"{}"), "unknown"),
        (says(200, {"sid": SID, "status": "queued"}), "unknown"),
        (http_answer(202), "unknown"),
        (http_answer(302, Location="https://example.com/"), "configuration"),
        (http_answer(400, b"<html>"), "permanent"),
        (http_answer(400, b"[1]"), "permanent"),
        (http_answer(400, b"[" * 60_000), "permanent"),
        (http_answer(201, b"[" * 60_000), "unknown"),
        (http_answer(201, b"\xff\xfe"), "unknown"),
        (http_answer(403, b"<html>"), "configuration"),
        (http_answer(404, b"<html>"), "configuration"),
        (http_answer(408), "not sent"),
        (http_answer(451), "permanent"),
        (http_answer(504, b"<html>"), "unknown"),
    ],
)
def test_what_twilio_does_not_document_gets_a_careful_kind(twilio: HttpStandIn, answer: bytes, expected: str) -> None:
    assert kind(answered(twilio, answer)) == expected


def test_an_error_in_the_newer_form_is_read_as_well(twilio: HttpStandIn) -> None:
    body = {"type": "https://x.example", "title": "No", "status": 400, "code": 21610, "detail": "opted out"}
    error = answered(twilio, says(400, body))
    assert isinstance(error, PermanentError)
    assert error.refuses is Refused.OPTED_OUT


def test_the_request_is_what_twilio_documents(twilio: HttpStandIn) -> None:
    provider = Twilio()
    message = provider.message._replace(body="größe +1 & 2", receipt_url="https://notify.example.com/r/1")
    outcome(provider.backend(twilio.port), message)
    (request,) = twilio.requests
    assert request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert parse_qs(request.body.decode(), strict_parsing=True) == {
        "To": ["+15005550010"],
        "From": ["+15005550006"],
        "Body": ["größe +1 & 2"],
        "StatusCallback": ["https://notify.example.com/r/1"],
    }


def test_a_messaging_service_is_sent_instead_of_a_number(twilio: HttpStandIn) -> None:
    service = "MG" + "c" * 32
    backend = TwilioSms.from_options(
        {
            "account_sid": ACCOUNT,
            "auth_token": TOKEN,
            "messaging_service_sid": service,
            "base_url": f"http://127.0.0.1:{twilio.port}/",
        }
    )
    outcome(backend, MESSAGE._replace(to="+15005550010"))
    form = parse_qs(twilio.requests[0].body.decode())
    assert (form.get("MessagingServiceSid"), form.get("From"), form.get("StatusCallback")) == ([service], None, None)


def test_the_librarys_own_environment_does_not_turn_the_address(
    twilio: HttpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    monkeypatch.setenv("TWILIO_REGION", "au1")
    assert kind(answered(twilio, says(201, {"sid": SID, "status": "queued"}))) == "sent"


def test_a_refusal_does_not_show_the_recipient(twilio: HttpStandIn) -> None:
    words = "The number +15005550010 is not valid: Your code is 493021"
    error = answered(twilio, says(400, {"code": 21211, "message": words, "status": 400}))
    assert isinstance(error, ChannelError)
    assert error.detail == "answered 400: The number <hidden> is not valid: <hidden>"
