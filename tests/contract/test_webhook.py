"""The scheme's own table, its signatures, and what no receiver's address may lead to; over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from channels.contract import (
    ChannelError,
    ConfigurationError,
    Message,
    PermanentError,
    RateLimited,
    Receipt,
    TransientError,
)
from channels.webhook import Endpoint, StandardWebhook
from tests.contract.conftest import Authority
from tests.contract.providers import MESSAGE, SIGNING_SECRET, kind, outcome, receivers
from tests.contract.stand_in import HttpStandIn, Instead, http_answer
from tests.ports import free_port

ID = "0190163d-8694-739b-aea5-966c26f8ad92"
OTHER_SECRET = "whsec_YW5vdGhlci1zZWNyZXQtb2YtYS1zdGFuZC1pbi0wMg=="
BODY = json.dumps({"type": "notification.sent", "data": {"to": "ann@example.com", "metadata": {"name": "Zoë"}}})
TOLD = MESSAGE._replace(to=ID, body=BODY)


@pytest.fixture
def receiver() -> Iterator[HttpStandIn]:
    with HttpStandIn() as stand_in:
        stand_in.answer = http_answer(204)
        yield stand_in


def at(url: str, *secrets: str, is_active: bool = True, allowed: tuple[str, ...] = ("127.0.0.0/8",)) -> StandardWebhook:
    """The backend, for an endpoint that is there."""
    receivers.known[ID] = Endpoint(url, secrets or [SIGNING_SECRET], is_active)
    receivers.switched_off.clear()
    return StandardWebhook.from_options(
        {"endpoints": "tests.contract.providers.receivers", "allowed_networks": list(allowed)}
    )


def told(receiver: HttpStandIn, answer: bytes | None = None, message: Message = TOLD) -> Receipt | ChannelError:
    if answer is not None:
        receiver.answer = answer
    return outcome(at(f"http://127.0.0.1:{receiver.port}/hook"), message)


# --- what is sent ----------------------------------------------------------------------------------------------


def test_the_body_goes_as_it_is_and_the_schemes_own_library_verifies_it(receiver: HttpStandIn) -> None:
    assert isinstance(told(receiver), Receipt)

    [request] = receiver.requests
    assert request.body == BODY.encode()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == str(TOLD.notification_id)
    assert Verifier(SIGNING_SECRET).verify(request.body, request.headers) == json.loads(BODY)


def test_both_secrets_sign_while_they_change(receiver: HttpStandIn) -> None:
    outcome(at(f"http://127.0.0.1:{receiver.port}/hook", OTHER_SECRET, SIGNING_SECRET), TOLD)

    [request] = receiver.requests
    for secret in (SIGNING_SECRET, OTHER_SECRET):
        assert Verifier(secret).verify(request.body, request.headers)


def test_a_secret_that_has_ended_signs_no_more(receiver: HttpStandIn) -> None:
    outcome(at(f"http://127.0.0.1:{receiver.port}/hook", OTHER_SECRET), TOLD)

    [request] = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Verifier(SIGNING_SECRET).verify(request.body, request.headers)


# --- what is answered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_is_a_yes(receiver: HttpStandIn, status: int) -> None:
    assert isinstance(told(receiver, http_answer(status)), Receipt)


@pytest.mark.parametrize("status", [400, 402, 406, 408, 409, 413, 415, 418, 422, 425, 451, 500, 501, 599])
def test_what_one_message_is_answered_is_tried_again_and_holds_up_no_other(receiver: HttpStandIn, status: int) -> None:
    error = told(receiver, http_answer(status))

    assert isinstance(error, TransientError)
    assert (error.outcome_unknown, error.rests) == (False, False)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_receiver_that_is_down_rests(receiver: HttpStandIn, status: int) -> None:
    error = told(receiver, http_answer(status, Retry_After="120"))

    assert isinstance(error, TransientError)
    assert (error.outcome_unknown, error.rests, error.retry_after) == (False, True, timedelta(minutes=2))


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407])
def test_a_wrong_address_or_secret_fails_nothing(receiver: HttpStandIn, status: int) -> None:
    assert isinstance(told(receiver, http_answer(status)), ConfigurationError)


def test_too_many_is_asked_again_when_the_receiver_said(receiver: HttpStandIn) -> None:
    error = told(receiver, http_answer(429, Retry_After="90"))

    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=90)


def test_gone_is_for_good_and_switches_the_endpoint_off(receiver: HttpStandIn) -> None:
    assert isinstance(told(receiver, http_answer(410)), PermanentError)
    assert list(receivers.switched_off) == [ID]


def test_nobody_listening_lets_the_lane_rest() -> None:
    error = outcome(at(f"http://127.0.0.1:{free_port()}/hook"), TOLD)

    assert isinstance(error, TransientError)
    assert (error.outcome_unknown, error.rests) == (False, True)


def test_a_connection_that_breaks_off_lets_the_lane_rest(receiver: HttpStandIn) -> None:
    receiver.answer = Instead.HANG_UP
    error = told(receiver)

    assert isinstance(error, TransientError)
    assert (error.outcome_unknown, error.rests) == (True, True)


def test_an_answer_without_end_is_not_read_to_its_end(receiver: HttpStandIn) -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 1_000_000

    assert isinstance(told(receiver, endless), Receipt)


def test_what_a_receiver_says_is_in_no_error(receiver: HttpStandIn) -> None:
    error = told(receiver, http_answer(500, b"the secret of another service"))

    assert isinstance(error, ChannelError)
    assert "secret" not in f"{error} {error.detail}"


# --- whom it may reach -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0.0.0.0", "127.8.8.8"]
)
def test_this_machine_is_refused_by_whatever_name(receiver: HttpStandIn, scheme: str, host: str) -> None:
    error = outcome(at(f"{scheme}://{host}:{receiver.port}/hook", allowed=()), TOLD)

    assert isinstance(error, ConfigurationError)
    assert error.code == "forbidden_address"
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::]"])
def test_this_machine_is_refused_in_every_form_of_ipv6(host: str) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        port = listening.getsockname()[1]
        error = outcome(at(f"https://{host}:{port}/hook", allowed=()), TOLD)
        assert isinstance(error, ConfigurationError)
        assert error.code == "forbidden_address"
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_redirect_is_not_followed(receiver: HttpStandIn) -> None:
    with HttpStandIn() as inside:
        error = told(receiver, http_answer(307, Location=f"http://127.0.0.1:{inside.port}/metadata"))

        assert kind(error) == "configuration"
        assert inside.connections == 0


class Resolver:
    """The system's resolver, under an attacker's name server: each answer is another than the one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, *answers: list[str]) -> None:
        self.asked = 0
        system = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *arguments: Any, flags: int = 0, **options: Any) -> Any:
            if host != name:
                return system(host, port, *arguments, flags=flags, **options)
            if flags & socket.AI_NUMERICHOST:
                raise socket.gaierror(socket.EAI_NONAME, "not a number")
            self.asked += 1
            found = answers[min(self.asked, len(answers)) - 1]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_that_is_rebound_between_look_up_and_connection_gets_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpStandIn(host="127.0.0.2") as allowed, HttpStandIn(host="127.0.0.3") as inside:
        allowed.answer = http_answer(204)
        for target in (allowed, inside):
            resolver = Resolver(monkeypatch, "rebound.example", ["127.0.0.2"], ["127.0.0.3"])
            outcome(at(f"http://rebound.example:{target.port}/hook", allowed=("127.0.0.2/32",)), TOLD)
            assert resolver.asked == 1

        assert (allowed.connections, inside.connections) == (1, 0)


def test_a_name_with_a_good_and_a_forbidden_address_leads_to_the_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpStandIn(host="127.0.0.2") as allowed:
        allowed.answer = http_answer(204)
        Resolver(monkeypatch, "both.example", ["127.0.0.3", "127.0.0.2"])

        result = outcome(at(f"http://both.example:{allowed.port}/hook", allowed=("127.0.0.2/32",)), TOLD)

        assert isinstance(result, Receipt)


def test_a_name_that_turns_to_the_inside_later_is_refused_then(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpStandIn(host="127.0.0.2") as allowed:
        allowed.answer = http_answer(204)
        Resolver(monkeypatch, "later.example", ["127.0.0.2"], ["127.0.0.3"])
        backend = at(f"http://later.example:{allowed.port}/hook", allowed=("127.0.0.2/32",))

        assert isinstance(outcome(backend, TOLD), Receipt)  # and closes the connection
        assert kind(outcome(backend, TOLD)) == "configuration"


def test_the_certificate_must_be_the_names_own_and_not_the_addresss(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.pem)
    with HttpStandIn(tls=authority.server) as stand_in:  # vouched for as localhost
        Resolver(monkeypatch, "other.example", ["127.0.0.1"])

        error = outcome(at(f"https://other.example:{stand_in.port}/hook"), TOLD)

        assert isinstance(error, ConfigurationError)
        assert error.code == "certificate"
        assert stand_in.requests == []


def test_the_environments_proxies_are_not_asked(receiver: HttpStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpStandIn() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY")

        assert isinstance(told(receiver), Receipt)
        assert proxy.connections == 0


# --- endpoints that are not there any more ---------------------------------------------------------------------


def test_an_endpoint_that_is_switched_off_is_told_nothing(receiver: HttpStandIn) -> None:
    error = outcome(at(f"http://127.0.0.1:{receiver.port}/hook", is_active=False), TOLD)

    assert isinstance(error, PermanentError)
    assert (error.code, receiver.connections) == ("endpoint_inactive", 0)


def test_an_endpoint_that_was_deleted_is_told_nothing(receiver: HttpStandIn) -> None:
    backend = at(f"http://127.0.0.1:{receiver.port}/hook")
    del receivers.known[ID]

    error = outcome(backend, TOLD)

    assert isinstance(error, PermanentError)
    assert (error.code, receiver.connections) == ("endpoint_deleted", 0)
