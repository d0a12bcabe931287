"""What apprise is allowed, and what its yes and no come to; over real sockets, by services that speak plain HTTP."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic

import pytest

from channels.apprise import Apprise as Backend
from channels.contract import ChannelError, ConfigurationError, Message, PermanentError, Receipt, TransientError
from tests.contract.providers import PASSWORD, SECRETS, Apprise, kind, outcome, served
from tests.contract.stand_in import HttpStandIn, Instead, http_answer
from tests.eventually import eventually
from tests.ports import free_port
from tests.processes import ROOT

MESSAGE = Apprise().message
TO_NUMBER = MESSAGE._replace(to="+15005550010")


@pytest.fixture
def service() -> Iterator[HttpStandIn]:
    with served(Apprise()) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        yield stand_in


def named(url: str) -> Backend:
    return Backend.from_options({"urls": {"phone": url}})


def answered(service: HttpStandIn, answer: bytes | Instead, message: Message = MESSAGE) -> Receipt | ChannelError:
    service.answer = answer
    return outcome(Apprise().backend(service.port), message)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_what_the_service_takes_is_sent(service: HttpStandIn, status: int) -> None:
    assert kind(answered(service, http_answer(status))) == "sent"


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 413, 429, 500, 503])
def test_a_no_has_no_reason_and_leaves_the_fate_unknown(service: HttpStandIn, status: int) -> None:
    found = answered(service, http_answer(status))
    assert isinstance(found, TransientError)
    assert (found.outcome_unknown, found.code) == (True, "False")


def test_nobody_listening_is_unknown_as_well() -> None:
    assert kind(outcome(named(f"json://127.0.0.1:{free_port()}"), MESSAGE)) == "unknown"


def test_the_subject_is_the_title(service: HttpStandIn) -> None:
    answered(service, http_answer(200), MESSAGE._replace(subject="Disk full", body="of a <b>bin</b> & \\n :smile:"))
    body = json.loads(service.requests[0].body)
    assert (body["title"], body["message"]) == ("Disk full", "of a <b>bin</b> & \\n :smile:")
    assert body["attachments"] == []


def test_the_recipient_is_put_into_the_url_percent_encoded(service: HttpStandIn) -> None:
    url = f"json://127.0.0.1:{service.port}/send/{{to}}"
    outcome(Backend.from_options({"url": url}), TO_NUMBER)
    (request,) = service.requests
    assert request.path in {"/send/%2B15005550010", "/send/+15005550010"}


@pytest.mark.parametrize("to", ["../admin", "a/b", "a?b=c", "a#b", "a&verify=no"])
def test_a_recipient_adds_nothing_to_the_url(service: HttpStandIn, to: str) -> None:
    backend = Backend.from_options({"url": f"json://127.0.0.1:{service.port}/send/?:to={{to}}", "pattern": ".*"})
    outcome(backend, MESSAGE._replace(to=to))
    (request,) = service.requests
    assert request.path in {"/send", "/send/"}
    assert json.loads(request.body)["to"] == to


@pytest.mark.parametrize("to", ["+1500", "+15005550010,+15005550011", "not a number", "+4915"])
def test_a_recipient_that_the_service_drops_is_refused_and_not_sent_to_the_sender(to: str) -> None:
    backend = Backend.from_options({"url": f"vonage://key:{PASSWORD.replace('-', '')}@15005550006/{{to}}"})
    with backend.session() as session, pytest.raises(PermanentError) as refused:
        session.send(MESSAGE._replace(to=to))
    assert to not in refused.value.detail


def test_a_redirect_is_not_followed(service: HttpStandIn) -> None:
    with HttpStandIn() as elsewhere:
        there = http_answer(307, Location=f"http://127.0.0.1:{elsewhere.port}/")
        assert kind(answered(service, there)) == "unknown"
        assert elsewhere.requests == []


def test_a_retry_in_the_url_is_not_obeyed(service: HttpStandIn) -> None:
    service.answer = http_answer(503)
    outcome(named(f"json://127.0.0.1:{service.port}/?retry=3&wait=0"), MESSAGE)
    assert len(service.requests) == 1


def test_an_optional_service_that_fails_has_failed(service: HttpStandIn) -> None:
    service.answer = http_answer(503)
    assert kind(outcome(named(f"json://127.0.0.1:{service.port}/?optional=yes"), MESSAGE)) == "unknown"


def test_no_message_waits_for_the_one_before(service: HttpStandIn) -> None:
    backend = named(f"ntfy://127.0.0.1:{service.port}/alerts")  # which would pause 5.5 s
    began = monotonic()
    with backend.session() as session:
        for _ in range(3):
            session.send(MESSAGE)
    assert len(service.requests) == 3
    assert monotonic() - began < 5


def test_the_urls_own_timeouts_count_where_it_has_some() -> None:
    assert named("json://localhost").service("phone").request_timeout == (4.0, 12.0)
    assert named("json://localhost?rto=2.5&cto=1").service("phone").request_timeout == (1.0, 2.5)


def test_what_is_left_behind_at_the_deadline_is_unknown_and_keeps_nobody(service: HttpStandIn) -> None:
    service.answer = Instead.HANG
    backend = Apprise().backend(service.port, limit=timedelta(seconds=0.3))
    began = monotonic()
    with backend.session() as session:
        for _ in range(2):
            with pytest.raises(TransientError) as unknown:
                session.send(MESSAGE)
            assert (unknown.value.code, unknown.value.outcome_unknown) == ("timeout", True)
    assert monotonic() - began < 5


def test_a_destination_that_left_the_settings_pauses_its_lane() -> None:
    assert isinstance(outcome(named("json://localhost"), MESSAGE._replace(to="gone")), ConfigurationError)


def test_a_url_that_is_none_pauses_its_lane_and_is_not_shown() -> None:
    found = outcome(named("nosuch://s3cr3tTok3n/"), MESSAGE)
    assert isinstance(found, ConfigurationError)
    assert "s3cr3tTok3n" not in str(found)


def test_a_service_whose_code_raises_leaves_the_fate_unknown_and_its_words_untold(service: HttpStandIn) -> None:
    snowman = "%E2%98%83"  # which no header can hold
    found = outcome(named(f"json://127.0.0.1:{service.port}/?+X-Key=s3cr3tTok3n{snowman}"), MESSAGE)
    assert isinstance(found, TransientError)
    assert (found.code, found.outcome_unknown) == ("error", True)
    assert "s3cr3tTok3n" not in str(found)


def test_the_librarys_own_log_is_silent(service: HttpStandIn, caplog: pytest.LogCaptureFixture) -> None:
    for logger in ("", "apprise", "urllib3", "requests_oauthlib"):
        caplog.set_level(logging.DEBUG, logger)
    answered(service, http_answer(403))
    outcome(named("nosuch://s3cr3tTok3n/"), MESSAGE)
    assert [secret for secret in SECRETS if secret in caplog.text] == []
    assert [record for record in caplog.records if record.name.startswith("apprise")] == []


def test_nothing_is_kept_open(service: HttpStandIn) -> None:
    answered(service, http_answer(200))
    eventually(lambda: service.ended == service.connections == 1, what="the connection is closed")


def test_the_library_is_loaded_by_nobody_who_does_not_send_by_it() -> None:
    program = (
        "import sys; from channels.apprise import Apprise; "
        "made = Apprise(urls={'phone': 'json://localhost'}); "
        "made.validate(to='phone', subject='', body='hello'), made.rules(), made.configured; "
        "sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60).returncode == 0
