"""The backend against a mock that Prism makes of Twilio's own description of its API, where all that is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from channels.contract import PermanentError, Receipt
from channels.twilio_sms import TwilioSms
from tests.contract import prism
from tests.contract.providers import ACCOUNT, MESSAGE, TOKEN, outcome
from tests.contract.test_twilio_openapi import FILE, MESSAGES

pytestmark = [
    pytest.mark.skipif(not FILE.is_file(), reason="Twilio's OpenAPI description is not here: set TWILIO_OPENAPI"),
    pytest.mark.timeout(240),  # the package is installed at first use
]

NUMBER = {"from_number": "+12019235161"}
SERVICE = {"messaging_service_sid": "MG" + "a" * 32}
TEXT = MESSAGE._replace(to="+18182008801", body="testing")


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    description = json.loads(FILE.read_text())
    # It calls the addresses of a list's pages whole ones, and its own examples of them begin with the path, as Twilio's
    # answers do: Prism would refuse its own answer.
    page = description["paths"][MESSAGES]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    for address in page["properties"].values():
        if address.get("format") == "uri":
            address["format"] = "uri-reference"
    mended = tmp_path_factory.mktemp("twilio") / "description.json"
    mended.write_text(json.dumps(description))
    try:
        with prism.serving(mended) as url:
            yield url
    except prism.Unavailable as missing:
        pytest.skip(str(missing))


def backend(mock: str, **options: str) -> TwilioSms:
    return TwilioSms.from_options({"account_sid": ACCOUNT, "auth_token": TOKEN, "base_url": mock, **options})


def example(method: str, status: str, name: str) -> Any:
    answer = json.loads(FILE.read_text())["paths"][MESSAGES][method]["responses"][status]
    return answer["content"]["application/json"]["examples"][name]["value"]


@pytest.mark.parametrize("sender", [NUMBER, SERVICE], ids=["number", "service"])
@pytest.mark.parametrize(
    "receipt_url", ["", "https://notify.example.com/api/v1/receipts/sms/1/1"], ids=["", "callback"]
)
def test_a_message_is_taken_and_the_answer_read(mock: str, sender: dict[str, str], receipt_url: str) -> None:
    described = example("post", "201", "create")
    receipt = outcome(backend(mock, **sender), TEXT._replace(receipt_url=receipt_url))
    assert receipt == Receipt(provider_id=described["sid"], code="201", detail=described["status"])


def test_the_newest_messages_are_listed_and_read(mock: str) -> None:
    described = example("get", "200", "readFullPage1")["messages"][0]
    found = backend(mock, **NUMBER).look_up(TEXT, since=datetime(2019, 5, 24, tzinfo=UTC))
    assert found == [Receipt(provider_id=described["sid"], detail=described["status"])]
    assert backend(mock, **NUMBER).look_up(TEXT, since=datetime(2019, 5, 25, tzinfo=UTC)) == []


def test_a_messaging_services_messages_are_listed_and_read(mock: str) -> None:
    (found,) = backend(mock, **SERVICE).look_up(TEXT, since=datetime(2019, 5, 24, tzinfo=UTC))
    assert found.provider_id == example("get", "200", "readFullPage1")["messages"][0]["sid"]


def test_the_mock_refuses_what_is_not_as_described(mock: str) -> None:
    """Else the above would show nothing."""
    refused = outcome(backend(mock, messaging_service_sid="MG12"), TEXT)
    assert isinstance(refused, PermanentError)
    url = f"{mock}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert requests.get(url, params={"PageSize": 1001}, auth=(ACCOUNT, TOKEN), timeout=10).status_code == 422
    assert requests.get(url, timeout=10).status_code == 401
