"""Slack, by incoming webhooks. A webhook is a destination of its own: Slack limits each to 1 message/s."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests

from channels import slack_content, text
from channels.contract import (
    Backend,
    ConfigurationError,
    Content,
    Message,
    Receipt,
    Refused,
    SettingProblem,
    Unacceptable,
)
from channels.errors import Kind, Meaning, Table
from channels.http_errors import HTTP
from channels.http_once import HttpOnce, wrong_address
from channels.rules import Recipient, Rules, Subject

PATIENCE = timedelta(seconds=30)  # after a 429 without Retry-After, which Slack does not document
_ERRORS = "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors"
_RATES = "https://docs.slack.dev/apis/web-api/rate-limits"
_STATUSES = "https://www.rfc-editor.org/rfc/rfc9110#section-15.5"

# By the word that Slack answers with, and by the status where it is none of Slack's (a proxy's page, say).
ERRORS = Table(
    Meaning("invalid_payload", Kind.PERMANENT, "the request is malformed", _ERRORS),
    Meaning("no_text", Kind.PERMANENT, "it has no text", _ERRORS),
    Meaning("invalid_blocks", Kind.PERMANENT, "its blocks are malformed", _ERRORS),
    Meaning("too_many_attachments", Kind.PERMANENT, "over 100 attachments", _ERRORS),
    Meaning("user_not_found", Kind.PERMANENT, "no such user", _ERRORS),
    Meaning(
        "action_prohibited",
        Kind.PERMANENT,
        "an admin has restricted what the webhook does",
        _ERRORS,
        refuses=Refused.DESTINATION,
    ),
    Meaning(
        "posting_to_general_channel_denied",
        Kind.PERMANENT,
        "an admin has restricted who posts to #general",
        _ERRORS,
        refuses=Refused.DESTINATION,
    ),
    Meaning("channel_not_found", Kind.PERMANENT, "no such channel", _ERRORS, refuses=Refused.DESTINATION),
    Meaning(
        "no_service", Kind.PERMANENT, "the webhook is disabled, removed or wrong", _ERRORS, refuses=Refused.DESTINATION
    ),
    Meaning("channel_is_archived", Kind.PERMANENT, "the channel is archived", _ERRORS, refuses=Refused.DESTINATION),
    Meaning("invalid_token", Kind.CONFIGURATION, "the webhook's token is not valid", _ERRORS),
    Meaning("no_active_hooks", Kind.CONFIGURATION, "the webhook is switched off", _ERRORS),
    Meaning("no_service_id", Kind.CONFIGURATION, "the webhook's address lacks a part", _ERRORS),
    Meaning("no_team", Kind.CONFIGURATION, "no such workspace", _ERRORS),
    Meaning("team_disabled", Kind.CONFIGURATION, "the workspace is no longer active", _ERRORS),
    Meaning("402", Kind.CONFIGURATION, "somebody wants to be paid", _STATUSES),
    Meaning("404", Kind.PERMANENT, "no such webhook", _STATUSES, refuses=Refused.DESTINATION),
    Meaning("410", Kind.PERMANENT, "the webhook is gone", _STATUSES, refuses=Refused.DESTINATION),
    Meaning("429", Kind.RATE_LIMITED, "more than one message a second to this webhook", _RATES, patience=PATIENCE),
    beneath=HTTP,
)

MESSAGE_LIMIT = 40_000  # characters: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
UNKNOWN_DESTINATION = ("unknown_destination", "is not the name of a Slack webhook of this service")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")


class SlackWebhook(Backend):
    """Posts `text`, which Slack reads as its own mrkdwn, to the named webhook. Where there are blocks, these are shown,
    and the text wherever there is no room for them.

    Option: `webhooks`, a mapping of names to URLs.
    """

    name = "slack_webhook"
    send_timeout = timedelta(seconds=10)  # Slack answers in well under one, and asks others to within 3
    errors: ClassVar = ERRORS
    carries: ClassVar = slack_content.NAMES

    def __init__(self, webhooks: Mapping[str, str]) -> None:
        self._webhooks = webhooks
        self._http = HttpOnce(limit=self.send_timeout)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> SlackWebhook:
        return cls(dict(options.get("webhooks", {})))

    @property
    def configured(self) -> bool:
        return bool(self._webhooks)

    def problems(self) -> Sequence[SettingProblem]:
        found = []
        for name, url in self._webhooks.items():
            variable = "SLACK_WEB_HOOK_URL" if name == "default" else "SLACK_WEBHOOKS"
            if not NAME.fullmatch(name):
                detail = f"the name {name!r} must be at most 50 letters, digits, dots, dashes or underscores"
                found.append(SettingProblem(variable, detail))
            if wrong := wrong_address(url) or _wrong_path(url):
                found.append(SettingProblem(variable, f"the webhook {name!r} {wrong}"))
        return found

    def validate(self, *, to: str, subject: str, body: str) -> str:
        """`to` is the name of a webhook; "" means `default`, and `default` the only one there is."""
        text.refuse_subject(subject, "Slack")
        text.require_body(body, limit=MESSAGE_LIMIT)
        name = to or "default"
        if name == "default" and len(self._webhooks) == 1:
            return next(iter(self._webhooks))
        if name not in self._webhooks:
            raise Unacceptable("to", *UNKNOWN_DESTINATION)
        return name

    def validate_content(self, given: Mapping[str, Any]) -> Content:
        return slack_content.content(given)

    def escape(self, words: str) -> str:
        """No mention, no link: https://docs.slack.dev/messaging/formatting-message-text#escaping names these three."""
        return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def rules(self) -> Rules:
        return Rules(
            subject=Subject.NONE,
            message_limit=MESSAGE_LIMIT,
            recipient=Recipient.NAME,
            names=tuple(self._webhooks),
            refusal=UNKNOWN_DESTINATION,
            lane_for_each=True,
        )

    def destination(self, to: str) -> str:
        return to

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self._http, self._webhooks)

    def close(self) -> None:
        self._http.close()


class _Session:
    def __init__(self, http: HttpOnce, webhooks: Mapping[str, str]) -> None:
        self._http = http
        self._webhooks = webhooks

    def send(self, message: Message) -> Receipt:
        url = self._webhooks.get(message.to)
        if url is None:
            raise ConfigurationError("unknown_destination", f"no webhook is named {message.to!r} any more")
        headers = message.tracking_headers()
        payload = {"text": message.body, **message.content.fields}
        answer = self._http.send(requests.Request("POST", url, json=payload, headers=headers))
        if answer.status == 200 and answer.text.strip() == "ok":
            return Receipt(code="200", detail="ok")
        path = urlsplit(url).path
        detail = text.one_line(answer.text, hide=(url, path, path.rpartition("/")[2], message.body))
        raise answer.error(ERRORS, answer.text.strip(), detail=detail)


def _wrong_path(url: str) -> str:
    return "" if urlsplit(url).path.strip("/") else "has no path: copy the whole URL from Slack"
