"""Slack's own rows: every answer it documents, and what else may come from its address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from channels.contract import ChannelError, Content, PermanentError, RateLimited, Receipt, Refused
from channels.slack import SlackWebhook
from tests.contract.providers import Slack, kind, outcome, served
from tests.contract.stand_in import HttpStandIn, http_answer


@pytest.fixture
def slack() -> Iterator[HttpStandIn]:
    with served(Slack()) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        yield stand_in


def answered(slack: HttpStandIn, answer: bytes) -> Receipt | ChannelError:
    slack.answer = answer
    provider = Slack()
    return outcome(provider.backend(slack.port), provider.message)


# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
@pytest.mark.parametrize(
    ("status", "word", "refuses"),
    [
        (400, "invalid_payload", Refused.MESSAGE),
        (400, "no_text", Refused.MESSAGE),
        (400, "invalid_blocks", Refused.MESSAGE),
        (400, "too_many_attachments", Refused.MESSAGE),
        (400, "user_not_found", Refused.MESSAGE),
        (403, "action_prohibited", Refused.DESTINATION),
        (403, "posting_to_general_channel_denied", Refused.DESTINATION),
        (404, "channel_not_found", Refused.DESTINATION),
        (404, "no_service", Refused.DESTINATION),
        (410, "channel_is_archived", Refused.DESTINATION),
    ],
)
def test_a_documented_refusal_is_permanent(slack: HttpStandIn, status: int, word: str, refuses: Refused) -> None:
    error = answered(slack, http_answer(status, word.encode()))
    assert isinstance(error, PermanentError)
    assert (error.code, error.refuses) == (word, refuses)


@pytest.mark.parametrize("word", ["invalid_token", "no_active_hooks", "no_service_id", "no_team", "team_disabled"])
@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_dead_webhook_is_a_matter_of_configuration(slack: HttpStandIn, status: int, word: str) -> None:
    error = answered(slack, http_answer(status, word.encode()))
    assert isinstance(error, ChannelError)
    assert (kind(error), error.code) == ("configuration", word)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<html>Please log in</html>", "unknown"),
        (200, b"", "unknown"),
        (204, b"", "unknown"),
        (202, b"ok", "unknown"),
        (301, b"", "configuration"),
        (401, b"who are you", "configuration"),
        (403, b"<html>forbidden</html>", "configuration"),
        (404, b"<html>not found</html>", "permanent"),
        (408, b"", "not sent"),
        (413, b"", "permanent"),
        (418, b"a teapot", "permanent"),
        (500, b"", "unknown"),
        (502, b"bad gateway", "unknown"),
        (503, b"", "unknown"),
        (599, b"", "unknown"),
    ],
)
def test_what_slack_does_not_document_gets_a_careful_kind(
    slack: HttpStandIn, status: int, body: bytes, expected: str
) -> None:
    assert kind(answered(slack, http_answer(status, body))) == expected


def test_a_redirect_is_not_followed(slack: HttpStandIn) -> None:
    with HttpStandIn() as elsewhere:
        answered(slack, http_answer(307, Location=f"http://127.0.0.1:{elsewhere.port}/"))
        assert elsewhere.requests == []


def test_a_rate_limit_in_seconds_is_kept(slack: HttpStandIn) -> None:
    error = answered(slack, http_answer(429, b"rate_limited", Retry_After="30"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=30)


def test_a_rate_limit_until_a_date_is_read_by_the_providers_own_clock(slack: HttpStandIn) -> None:
    now = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
    later = now + timedelta(seconds=45)
    answer = http_answer(429, Retry_After=format_datetime(later, usegmt=True), Date=format_datetime(now, usegmt=True))
    error = answered(slack, answer)
    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=45)


def test_a_rate_limit_without_a_time_still_asks_for_patience(slack: HttpStandIn) -> None:
    error = answered(slack, http_answer(429))
    assert isinstance(error, RateLimited)
    assert error.retry_after >= timedelta(seconds=1)


def test_the_text_goes_to_the_named_webhook(slack: HttpStandIn) -> None:
    url = f"http://127.0.0.1:{slack.port}/services/T/B/"
    backend = SlackWebhook.from_options({"webhooks": {"ops": f"{url}ops", "dev": f"{url}dev"}})
    outcome(backend, Slack().message._replace(to="dev", body="größe <3 \U0001f600"))
    (request,) = slack.requests
    assert request.path == "/services/T/B/dev"
    assert json.loads(request.body) == {"text": "größe <3 \U0001f600"}


def test_blocks_and_attachments_go_beside_the_text(slack: HttpStandIn) -> None:
    fields = {"blocks": [{"type": "divider"}], "attachments": [{"text": "größe"}]}
    provider = Slack()
    outcome(provider.backend(slack.port), provider.message._replace(body="fallback", content=Content(fields)))
    (request,) = slack.requests
    assert json.loads(request.body) == {"text": "fallback", **fields}


def test_a_webhook_that_left_the_settings_pauses_its_lane(slack: HttpStandIn) -> None:
    backend = SlackWebhook.from_options({"webhooks": {"ops": f"http://127.0.0.1:{slack.port}/x"}})
    assert kind(outcome(backend, Slack().message._replace(to="gone"))) == "configuration"


def test_a_huge_answer_is_not_read_to_its_end(slack: HttpStandIn) -> None:
    error = answered(slack, http_answer(400, b"x" * 10_000_000))
    assert isinstance(error, PermanentError)
    assert len(error.detail) < 400


def test_a_refusal_whose_text_breaks_off_is_still_a_refusal(slack: HttpStandIn) -> None:
    broken = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\nConnection: close\r\n\r\ninvalid_pay"
    with served(Slack(), broken) as stand_in:
        backend = Slack().backend(stand_in.port, limit=timedelta(seconds=0.5))
        assert kind(outcome(backend, Slack().message)) == "permanent"


def test_nothing_of_the_environment_turns_a_message_elsewhere(
    slack: HttpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpStandIn() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert kind(answered(slack, http_answer(200, b"ok"))) == "sent"
        assert proxy.requests == []


def test_a_correlation_id_that_no_header_can_hold_is_permanent(slack: HttpStandIn) -> None:
    message = Slack().message._replace(correlation_id="\u2603")
    assert kind(outcome(Slack().backend(slack.port), message)) == "permanent"
    assert slack.requests == []
