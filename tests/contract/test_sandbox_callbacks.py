"""The sandbox's status callbacks at the wire: what they say, who signed them, and that they go nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
import requests

from channels.contract import DeliveryReport, Progress
from channels.sandbox import ACCOUNT_SID, AUTH_TOKEN
from channels.sandbox.callbacks import Callback, Callbacks
from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from channels.twilio_sms import TwilioSms
from tests.contract.stand_in import HttpRequest, HttpStandIn, http_answer
from tests.eventually import eventually

TO = "+15005550010"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def service() -> Iterator[HttpStandIn]:
    with HttpStandIn() as stand_in:
        stand_in.answer = http_answer(204)
        yield stand_in


def address(service: HttpStandIn) -> str:
    return f"http://127.0.0.1:{service.port}/api/v1/receipts/sms/{uuid4()}/1"


def create(sandbox: Sandbox, callback: str, to: str = TO) -> str:
    form = {"To": to, "From": "+15005550006", "Body": "hello", "StatusCallback": callback}
    url = f"{sandbox.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    answer = requests.post(url, data=form, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=5).json()
    assert answer["status"] == "queued"
    return str(answer["sid"])


def told(service: HttpStandIn, count: int) -> list[HttpRequest]:
    eventually(lambda: len(service.requests) == count, what=f"{count} callbacks")
    return list(service.requests)


def statuses(requests: list[HttpRequest]) -> list[str]:
    return [dict(parse_qsl(request.body.decode()))["MessageStatus"] for request in requests]


def test_none_is_posted_until_it_is_asked_for(sandbox: Sandbox, service: HttpStandIn) -> None:
    create(sandbox, address(service))
    sandbox.callbacks.set(Callback(to=TO))
    create(sandbox, address(service), to="+15005550011")
    create(sandbox, "")
    create(sandbox, address(service))

    assert statuses(told(service, 3)) == ["queued", "sent", "delivered"]


def test_the_backend_reads_what_is_posted_as_twilios_own(sandbox: Sandbox, service: HttpStandIn) -> None:
    sandbox.callbacks.set(Callback(status="undelivered"))
    url = address(service)
    sid = create(sandbox, url)
    backend = TwilioSms.from_options({"auth_token": AUTH_TOKEN})
    reports = [
        backend.read_report(
            url=url,
            fields=dict(parse_qsl(request.body.decode(), keep_blank_values=True)),
            headers={"X-Twilio-Signature": request.headers["x-twilio-signature"]},
        )
        for request in told(service, 3)
    ]
    assert reports[-1] == DeliveryReport(provider_id=sid, progress=Progress.UNDELIVERED, code="30003")
    assert {report.progress for report in reports[:-1]} == {Progress.TAKEN}


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (Callback(status="sent"), ["queued", "sent"]),
        (Callback(reversed=True), ["delivered", "sent", "queued"]),
        (Callback(doubled=True), ["queued", "queued", "sent", "sent", "delivered", "delivered"]),
    ],
)
def test_they_come_in_the_order_and_number_asked_for(
    sandbox: Sandbox, service: HttpStandIn, callback: Callback, expected: list[str]
) -> None:
    sandbox.callbacks.set(callback)
    create(sandbox, address(service))
    assert statuses(told(service, len(expected))) == expected


def test_the_message_has_the_fate_that_is_told(sandbox: Sandbox) -> None:
    sandbox.callbacks.set(Callback(status="failed", error_code=30007))
    url = f"{sandbox.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{create(sandbox, '')}.json"
    fetched = requests.get(url, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=5).json()
    assert (fetched["status"], fetched["error_code"]) == ("failed", 30007)


def test_they_may_come_before_the_answer(sandbox: Sandbox, service: HttpStandIn) -> None:
    sandbox.callbacks.set(Callback())
    sandbox.faults.set("sms", Fault(kind=Kind.HANG, taken=True))
    url = f"{sandbox.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    form = {"To": TO, "From": "+15005550006", "Body": "hello", "StatusCallback": address(service)}
    with pytest.raises(requests.Timeout):
        requests.post(url, data=form, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=1)
    assert statuses(told(service, 3))[-1] == "delivered"


RECEIPT = f"/api/v1/receipts/sms/{uuid4()}/1"


@pytest.mark.parametrize(
    "url",
    [
        f"http://192.0.2.1{RECEIPT}",
        f"http://example.com{RECEIPT}",
        f"https://127.0.0.1{RECEIPT}",
        f"http://127.0.0.1@192.0.2.1{RECEIPT}",
        f"http://127.0.0.1.example.com{RECEIPT}",
        f"http://[::1{RECEIPT}",
        f"http://127.0.0.1:x{RECEIPT}",
        f"http://127.0.0.1/elsewhere{RECEIPT}",
        f"http://127.0.0.1/?{RECEIPT}",
        f"http://127.0.0.1/{RECEIPT}?x=1",
        "http://127.0.0.1/",
        "http://127.0.0.1/api/v1/receipts/sms/../../notifications",
        f"https://notify.example.com.evil.example{RECEIPT}",
        f"ftp://127.0.0.1{RECEIPT}",
        f"//127.0.0.1{RECEIPT}",
    ],
)
def test_they_go_nowhere_but_to_where_this_service_takes_them(url: str) -> None:
    callbacks = Callbacks("https://notify.example.com/")
    assert not callbacks.may_post_to(url)
    for base in ("https://notify.example.com", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000"):
        assert callbacks.may_post_to(base + RECEIPT)


def test_what_is_asked_for_is_shown_and_taken_back(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/api/callbacks"
    shown = requests.put(url, json={"status": "undelivered", "delay_ms": 10}, timeout=5).json()
    assert (shown["callback"]["status"], shown["callback"]["delay_ms"], shown["posted"]) == ("undelivered", 10, 0)
    assert requests.get(url, timeout=5).json() == shown
    assert requests.delete(url, timeout=5).json()["callback"] is None
    assert requests.patch(url, timeout=5).status_code == 405


@pytest.mark.parametrize(
    "asked",
    [
        [],
        None,
        "delivered",
        {"status": "read"},
        {"delay_ms": -1},
        {"delay_ms": True},
        {"doubled": 1},
        {"url": "http://x"},
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_refused_and_nothing_changes(sandbox: Sandbox, asked: object) -> None:
    url = f"{sandbox.url}/api/callbacks"
    before = requests.put(url, json={"status": "sent"}, timeout=5).json()
    answer = requests.put(url, json=asked, timeout=5)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert requests.get(url, timeout=5).json() == before


def test_one_that_is_not_taken_is_counted_and_not_posted_again(sandbox: Sandbox, service: HttpStandIn) -> None:
    service.answer = http_answer(403)
    sandbox.callbacks.set(Callback(status="sent"))
    create(sandbox, address(service))
    eventually(lambda: sandbox.callbacks.shown()["refused"] == 2, what="both refused")
    assert len(service.requests) == 2
