"""The sandbox and the backend against Twilio's own description of its API, where that is at hand.

It is not part of this repository: TWILIO_OPENAPI names a file with the Messages paths of twilio/twilio-oai's
spec/json/twilio_api_v2010.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from twilio.rest import Client

from channels.contract import Receipt
from channels.sandbox.server import Sandbox
from channels.twilio_sms import TwilioSms
from tests.contract.providers import Twilio, outcome, served
from tests.contract.stand_in import HttpStandIn, http_answer

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = Path(os.environ.get("TWILIO_OPENAPI") or ROOT.parent / "shared" / "data" / "twilio_messages_openapi.json")
MESSAGES = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
MESSAGE = "/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json"

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="Twilio's OpenAPI description is not here: set TWILIO_OPENAPI"
)

formats = FormatChecker(formats=())
formats.checks("date-time-rfc-2822", raises=(TypeError, ValueError))(
    lambda value: not isinstance(value, str) or parsedate_to_datetime(value) is not None
)


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    variables = sandbox.environment()
    made = Client(variables["TWILIO_ACCOUNT_SID"], "any token")
    made.api.base_url = sandbox.url
    return made


def schema(description: dict[str, Any], part: Any) -> Any:
    """OpenAPI 3.0's schema as plain JSON Schema: references put in, `nullable` written out."""
    if isinstance(part, list):
        return [schema(description, each) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        target: Any = description
        for step in part["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return schema(description, target)
    plain = {name: schema(description, value) for name, value in part.items() if name not in {"nullable", "examples"}}
    return {"anyOf": [plain, {"type": "null"}]} if part.get("nullable") is True else plain


def complaints(description: dict[str, Any], path: str, method: str, status: str, answer: object) -> list[str]:
    content = description["paths"][path][method]["responses"][status]["content"]["application/json"]
    validator = Draft202012Validator(schema(description, content["schema"]), format_checker=formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


def raw(client: Client, method: str, url: str, **options: Any) -> Any:
    return json.loads(client.request(method, url, **options).text)


def test_a_created_message_is_what_twilio_describes(
    description: dict[str, Any], sandbox: Sandbox, client: Client
) -> None:
    url = f"{sandbox.url}/2010-04-01/Accounts/{client.account_sid}/Messages.json"
    form = {"To": "+15005550010", "From": "+15005550006", "Body": "hello"}
    created = raw(client, "POST", url, data=form)
    assert complaints(description, MESSAGES, "post", "201", created) == []
    assert set(created) == set(description["components"]["schemas"]["api.v2010.account.message"]["properties"])


def test_a_fetched_message_is_what_twilio_describes(
    description: dict[str, Any], sandbox: Sandbox, client: Client
) -> None:
    sid = client.messages.create(to="+15005550010", from_="+15005550006", body="hello").sid
    fetched = raw(client, "GET", f"{sandbox.url}/2010-04-01/Accounts/{client.account_sid}/Messages/{sid}.json")
    assert complaints(description, MESSAGE, "get", "200", fetched) == []
    assert fetched["sid"] == sid


def test_a_list_of_messages_is_what_twilio_describes(
    description: dict[str, Any], sandbox: Sandbox, client: Client
) -> None:
    for _ in range(3):
        client.messages.create(to="+15005550010", messaging_service_sid="MG" + "a" * 32, body="hello")
    listed = raw(client, "GET", f"{sandbox.url}/2010-04-01/Accounts/{client.account_sid}/Messages.json?PageSize=2")
    assert complaints(description, MESSAGES, "get", "200", listed) == []
    assert (len(listed["messages"]), listed["previous_page_uri"]) == (2, None)


def test_the_library_pages_through_the_list(client: Client) -> None:
    sids = [client.messages.create(to="+15005550010", from_="+15005550006", body=str(n)).sid for n in range(5)]
    assert [found.sid for found in client.messages.list(page_size=2)] == sids[::-1]


def test_the_library_finds_a_message_by_recipient_and_day(client: Client) -> None:
    mine = client.messages.create(to="+15005550010", from_="+15005550006", body="mine").sid
    client.messages.create(to="+15005550011", from_="+15005550006", body="another's")
    now = datetime.now(UTC)

    def found(**when: datetime) -> list[str]:
        return [message.sid for message in client.messages.list(to="+15005550010", **when)]

    assert found(date_sent_after=now - timedelta(days=1), date_sent_before=now + timedelta(days=1)) == [mine]
    assert found(date_sent_after=now + timedelta(days=2)) == []
    assert found(date_sent_before=now - timedelta(days=2)) == []


@pytest.mark.parametrize("sender", ["number", "service"])
def test_what_we_send_is_what_twilio_takes(description: dict[str, Any], sender: str) -> None:
    content = description["paths"][MESSAGES]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    body = schema(description, content["schema"])
    with served(Twilio()) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        options = {
            "account_sid": "AC" + "1" * 32,
            "auth_token": "token",
            "base_url": f"http://127.0.0.1:{stand_in.port}",
            **({"from_number": "+15005550006"} if sender == "number" else {"messaging_service_sid": "MG" + "b" * 32}),
        }
        message = Twilio().message._replace(receipt_url="https://notify.example.com/receipts/1")
        assert isinstance(outcome(TwilioSms.from_options(options), message), Receipt)
        form = dict(parse_qsl(stand_in.requests[0].body.decode(), strict_parsing=True))
    assert set(form) <= set(body["properties"])
    assert set(body.get("required", [])) <= set(form)
    assert list(Draft202012Validator(body).iter_errors(form)) == []


def test_what_we_look_up_is_what_twilio_can_be_asked(description: dict[str, Any]) -> None:
    known = {each["name"] for each in description["paths"][MESSAGES]["get"]["parameters"] if each["in"] == "query"}
    with served(Twilio(), http_answer(200, b'{"messages": [], "next_page_uri": null}')) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        assert Twilio().backend(stand_in.port).look_up(Twilio().message, since=datetime.now(UTC)) == []
        (request,) = stand_in.requests
    assert dict(parse_qsl(urlsplit(request.path).query)).keys() <= known
