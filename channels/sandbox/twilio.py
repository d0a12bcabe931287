"""Plays Twilio's Messages API: create, fetch and list. https://www.twilio.com/docs/messaging/api/message-resource

Takes any account with any token, except the token `wrong`. As with Twilio's own test credentials, some
numbers are refused: https://www.twilio.com/docs/iam/test-credentials
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

from channels.sandbox.callbacks import Callbacks
from channels.sandbox.mailbox import Mailbox, Received
from channels.sandbox.web import Answer, Request

MESSAGES = re.compile(r"/2010-04-01/Accounts/(?P<account>AC[0-9a-fA-F]{32})/Messages(/(?P<sid>[^/]+))?\.json")
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
BODY_LIMIT = 1600  # characters
PAGE_SIZE = 50

TO_ERRORS: Mapping[str, int] = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
FROM_ERRORS: Mapping[str, int] = {
    "+15005550001": 21212,
    "+15005550007": 21606,
    "+15005550008": 21611,
}
# https://www.twilio.com/docs/api/errors
WORDS: Mapping[int, str] = {
    20003: "Authenticate",
    20004: "Method not allowed",
    20404: "The requested resource was not found",
    21211: "The 'To' number is not a valid phone number.",
    21212: "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID.",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number.",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The 'From' phone number provided is not a valid, message-capable Twilio phone number.",
    21610: "Attempt to send to unsubscribed recipient.",
    21611: "This 'From' number has exceeded the maximum number of queued messages.",
    21612: "The message cannot be sent with the current combination of 'To' and/or 'From' parameters.",
    21614: "'To' number is not a valid mobile number.",
    21617: "The concatenated message body exceeds the 1600 character limit.",
}


def recipient(request: Request) -> str:
    return request.form().get("To", "") if request.method == "POST" else ""


def creates(request: Request) -> bool:
    """Whether the request is a send, and faults may befall it."""
    path = MESSAGES.fullmatch(request.path)
    return request.method == "POST" and path is not None and not path["sid"]


def answer(request: Request, mailbox: Mailbox, callbacks: Callbacks) -> Answer:
    path = MESSAGES.fullmatch(request.path)
    if path is None:
        return refuse(404, 20404)
    account, sid = path["account"], path["sid"]
    token = _token(request, account)
    if token in {"", "wrong"}:
        return refuse(401, 20003)
    if request.method == "POST" and not sid:
        return _create(request, mailbox, callbacks, account, token)
    if request.method != "GET":
        return refuse(405, 20004)
    if sid:
        found = mailbox.find(sid)
        return Answer.of_json(200, _shown(found, account)) if found else refuse(404, 20404)
    return _list(request, mailbox, account)


def refuse(status: int, code: int) -> Answer:
    """An error as Twilio words it."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    message = WORDS.get(code, "Internal Server Error")
    return Answer.of_json(status, {"code": code, "message": message, "more_info": more, "status": status})


def _token(request: Request, account: str) -> str:
    """What the request bears as the account's auth token; "" for nothing that could be one."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        username, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return token if scheme.lower() == "basic" and username == account else ""


def _create(request: Request, mailbox: Mailbox, callbacks: Callbacks, account: str, token: str) -> Answer:
    form = request.form()
    to, sender, service = form.get("To", ""), form.get("From", ""), form.get("MessagingServiceSid", "")
    body = form.get("Body", "")
    if code := _wrong_with(to, sender, service, body):
        return refuse(400, code)
    sid = f"SM{uuid4().hex}"
    fate = callbacks.fate(to)
    received = mailbox.take(
        "sms",
        to,
        body,
        provider_id=sid,
        correlation_id=request.headers.get("x-correlation-id", ""),
        extra={
            "from": sender,
            "messaging_service_sid": service,
            "status_callback": form.get("StatusCallback", ""),
            **({"status": fate.status, "error_code": str(fate.code or "")} if fate else {}),
        },
    )
    if fate:
        callbacks.report(received, fate, account=account, token=token)
    status = "accepted" if service else "queued"
    fresh = {"status": status, "date_sent": None, "error_code": None}
    return Answer.of_json(201, {**_shown(received, account), **fresh})


def _wrong_with(to: str, sender: str, service: str, body: str) -> int:
    """The code of the first thing wrong; 0 for nothing."""
    if not to:
        return 21604
    if not sender and not service:
        return 21603
    if not body:
        return 21602
    if len(body) > BODY_LIMIT:
        return 21617
    if not NUMBER.fullmatch(to):
        return 21211
    return TO_ERRORS.get(to, 0) or FROM_ERRORS.get(sender, 0)


def _list(request: Request, mailbox: Mailbox, account: str) -> Answer:
    query = request.query
    found = [
        message
        for message in mailbox.messages("sms")
        if query.get("To", message.to) == message.to
        and query.get("From", message.extra["from"]) == message.extra["from"]
        and _sent_within(message, query)
    ]
    try:
        size, page = int(query.get("PageSize", PAGE_SIZE)), int(query.get("Page", 0))
    except ValueError:
        return refuse(400, 20404)
    shown = found[page * size : (page + 1) * size]
    uri = f"/2010-04-01/Accounts/{account}/Messages.json?PageSize={size}&Page="
    more = len(found) > (page + 1) * size
    return Answer.of_json(
        200,
        {
            "messages": [_shown(message, account) for message in shown],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(len(shown) - 1, 0),
            "uri": f"{uri}{page}",
            "first_page_uri": f"{uri}0",
            "previous_page_uri": f"{uri}{page - 1}" if page else None,
            "next_page_uri": f"{uri}{page + 1}" if more else None,
        },
    )


def _sent_within(message: Received, query: Mapping[str, str]) -> bool:
    # Twilio compares with what follows the sign: `DateSent>=2026-01-01`; a form splits it at the `=`.
    day = message.received_at[:10]
    return (
        query.get("DateSent", day)[:10] == day
        and query.get("DateSent>", day)[:10] <= day
        and query.get("DateSent<", day)[:10] >= day
    )


def _shown(message: Received, account: str) -> dict[str, Any]:
    """The Message resource, once it is sent."""
    uri = f"/2010-04-01/Accounts/{account}/Messages/{message.provider_id}"
    at = format_datetime(datetime.fromisoformat(message.received_at))
    code = message.extra.get("error_code")
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": at,
        "date_sent": at,
        "date_updated": at,
        "direction": "outbound-api",
        "error_code": int(code) if code else None,
        "error_message": None,
        "from": message.extra["from"] or None,
        "messaging_service_sid": message.extra["messaging_service_sid"] or None,
        "num_media": "0",
        "num_segments": "0" if message.extra["messaging_service_sid"] else "1",
        "price": None,
        "price_unit": "USD",
        "sid": message.provider_id,
        "status": message.extra.get("status", "delivered"),
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message.to,
        "uri": f"{uri}.json",
    }
