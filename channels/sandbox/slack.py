"""Plays Slack's incoming webhooks: POST /services/T…/B…/<token>.

A token that is one of Slack's documented errors gets that error, so that each can be tried by hand:
`/services/T0/B0/channel_is_archived` answers 410. Every other token takes messages.
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from channels.sandbox.mailbox import Mailbox
from channels.sandbox.web import Answer, Request

WEBHOOK = re.compile(r"/services/[^/]+/[^/]+/([^/]+)")

MOST_BLOCKS = 50
MOST_ATTACHMENTS = 100

ERRORS: Mapping[str, int] = {
    "invalid_payload": 400,
    "no_text": 400,
    "invalid_blocks": 400,
    "too_many_attachments": 400,
    "user_not_found": 400,
    "action_prohibited": 403,
    "posting_to_general_channel_denied": 403,
    "invalid_token": 403,
    "no_team": 404,
    "no_service": 404,
    "no_service_id": 404,
    "no_active_hooks": 404,
    "channel_not_found": 404,
    "team_disabled": 403,
    "channel_is_archived": 410,
}


def recipient(request: Request) -> str:
    return request.path.rpartition("/")[2]


def answer(request: Request, mailbox: Mailbox) -> Answer:
    token = recipient(request)
    if not WEBHOOK.fullmatch(request.path):
        return _refuse("no_service")
    if request.method != "POST":
        return _refuse("invalid_payload")
    if token in ERRORS:
        return _refuse(token)
    try:
        payload = json.loads(request.form().get("payload", "") if _is_form(request) else request.body)
    except ValueError:
        return _refuse("invalid_payload")
    if not isinstance(payload, dict):
        return _refuse("invalid_payload")
    text = payload.get("text")
    if not isinstance(text, str) or not text.strip():
        return _refuse("no_text")
    blocks, attachments = payload.get("blocks", []), payload.get("attachments", [])
    if not isinstance(blocks, list) or len(blocks) > MOST_BLOCKS:
        return _refuse("invalid_blocks")
    if not isinstance(attachments, list) or len(attachments) > MOST_ATTACHMENTS:
        return _refuse("too_many_attachments")
    beyond = {"blocks": blocks, "attachments": attachments}
    extra = {name: json.dumps(value, ensure_ascii=False) for name, value in beyond.items() if value}
    mailbox.take("slack", token, text, correlation_id=request.headers.get("x-correlation-id", ""), extra=extra)
    return Answer(200, b"ok")


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _refuse(error: str) -> Answer:
    return Answer(ERRORS[error], error.encode())
