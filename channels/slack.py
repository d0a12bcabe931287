"""Slack, by incoming webhooks. A webhook is a destination of its own: Slack limits each to 1 message/s."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests

from channels import text
from channels.contract import (
    Backend,
    ChannelError,
    ConfigurationError,
    Message,
    Receipt,
    Refused,
    SettingProblem,
    Unacceptable,
)
from channels.http_once import Answer, HttpOnce, wrong_address
from channels.rules import Recipient, Rules, Subject

# The word that Slack answers with, and what it refuses: None for our credentials or account.
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
ERRORS: Mapping[str, Refused | None] = {
    "invalid_payload": Refused.MESSAGE,
    "no_text": Refused.MESSAGE,
    "invalid_blocks": Refused.MESSAGE,
    "too_many_attachments": Refused.MESSAGE,
    "user_not_found": Refused.MESSAGE,
    "action_prohibited": Refused.DESTINATION,
    "posting_to_general_channel_denied": Refused.DESTINATION,
    "channel_not_found": Refused.DESTINATION,
    "no_service": Refused.DESTINATION,
    "channel_is_archived": Refused.DESTINATION,
    "invalid_token": None,
    "no_active_hooks": None,
    "no_service_id": None,
    "no_team": None,
    "team_disabled": None,
}
# What a status says where the word is none of Slack's (a proxy's page, say).
STATUSES: Mapping[int, Refused | None] = {
    401: None,
    402: None,
    403: None,
    407: None,
    404: Refused.DESTINATION,
    410: Refused.DESTINATION,
}

MESSAGE_LIMIT = 40_000  # characters: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
PATIENCE = timedelta(seconds=30)  # after a 429 without Retry-After, which Slack does not document
UNKNOWN_DESTINATION = ("unknown_destination", "is not the name of a Slack webhook of this service")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")


class SlackWebhook(Backend):
    """Posts `text`, which Slack reads as its own mrkdwn, to the named webhook.

    Option: `webhooks`, a mapping of names to URLs.
    """

    name = "slack_webhook"
    send_timeout = timedelta(seconds=10)  # Slack answers in well under one, and asks others to within 3

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
        headers = {"X-Correlation-ID": message.correlation_id}
        answer = self._http.send(requests.Request("POST", url, json={"text": message.body}, headers=headers))
        if answer.status == 200 and answer.text.strip() == "ok":
            return Receipt(code="200", detail="ok")
        path = urlsplit(url).path
        raise _error(answer, text.one_line(answer.text, hide=(url, path, path.rpartition("/")[2], message.body)))


def _error(answer: Answer, word: str) -> ChannelError:
    refuses = ERRORS[word] if word in ERRORS else STATUSES.get(answer.status, Refused.MESSAGE)
    code = word if word in ERRORS else str(answer.status)
    return answer.error(code, word, refuses=refuses, patience=PATIENCE)


def _wrong_path(url: str) -> str:
    return "" if urlsplit(url).path.strip("/") else "has no path: copy the whole URL from Slack"
