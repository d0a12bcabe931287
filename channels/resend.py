"""Email, by Resend's HTTP API: https://resend.com/docs/api-reference/emails/send-email"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

import requests

from channels import mail, text
from channels.contract import ChannelError, File, Message, Receipt, SettingProblem
from channels.email_backend import EmailBackend, sender_address
from channels.errors import Kind, Meaning, Table
from channels.http_errors import HTTP
from channels.http_once import Answer, HttpOnce, wrong_address

SOURCE = "https://resend.com/docs/api-reference/errors"
LIMITS = "https://resend.com/docs/api-reference/rate-limit"
_STATUSES = "https://www.rfc-editor.org/rfc/rfc9110#section-15.5"
SOON = timedelta(seconds=1)  # the limit is of requests a second
# A quota of the day is free again at some hour that Resend does not name: a look each hour costs a request.
TOMORROW = timedelta(hours=1)
IN_FLIGHT = timedelta(seconds=5)  # until the request that is being worked on has its answer


# By the name of an error, with its status where that says more; and by the status where the name is none of Resend's.
ERRORS = Table(
    Meaning("missing_api_key", Kind.CONFIGURATION, "no API key came with the request", SOURCE),
    Meaning("restricted_api_key", Kind.CONFIGURATION, "the API key may not do this", SOURCE),
    Meaning("invalid_api_key", Kind.CONFIGURATION, "the API key is not valid", SOURCE),
    Meaning("suspended_api_key", Kind.CONFIGURATION, "the API key is suspended", SOURCE),
    Meaning("401 validation_error", Kind.CONFIGURATION, "the API key is not valid", SOURCE),
    Meaning("403 validation_error", Kind.CONFIGURATION, "the sender's domain is not verified", SOURCE),
    Meaning("not_found", Kind.CONFIGURATION, "there is no such address in the API", SOURCE),
    Meaning("method_not_allowed", Kind.CONFIGURATION, "this address of the API takes no posts", SOURCE),
    Meaning("invalid_from_address", Kind.CONFIGURATION, "the sender is no address", SOURCE),
    Meaning("invalid_region", Kind.CONFIGURATION, "the sender's domain is of no known region", SOURCE),
    Meaning("invalid_access", Kind.CONFIGURATION, "the API key may do less than this asks for", SOURCE),
    Meaning("monthly_quota_exceeded", Kind.CONFIGURATION, "the month's emails are used up", LIMITS),
    Meaning("daily_quota_exceeded", Kind.RATE_LIMITED, "the day's emails are used up", LIMITS, patience=TOMORROW),
    Meaning("rate_limit_exceeded", Kind.RATE_LIMITED, "too many requests in a second", LIMITS, patience=SOON),
    Meaning(
        "concurrent_idempotent_requests",
        Kind.TRANSIENT,
        "an earlier attempt of this very message is still being worked on",
        SOURCE,
        patience=IN_FLIGHT,
        isolated=True,
    ),
    # Another sender in the settings since the last attempt, say. What that one came to, this answer does not tell.
    Meaning(
        "invalid_idempotent_request", Kind.UNKNOWN, "an earlier attempt of this message had another content", SOURCE
    ),
    Meaning("invalid_idempotency_key", Kind.PERMANENT, "the key is of no length that is taken", SOURCE),
    Meaning("validation_error", Kind.PERMANENT, "a field is wrong", SOURCE),
    Meaning("missing_required_field", Kind.PERMANENT, "a field is missing", SOURCE),
    Meaning("invalid_parameter", Kind.PERMANENT, "a field is wrong", SOURCE),
    Meaning("invalid_attachment", Kind.PERMANENT, "an attachment is wrong", SOURCE),
    Meaning("security_error", Kind.PERMANENT, "the content looks like an attack", SOURCE),
    Meaning("application_error", Kind.UNKNOWN, "something unexpected happened", SOURCE),
    Meaning("internal_server_error", Kind.UNKNOWN, "something unexpected happened", SOURCE),
    Meaning("402", Kind.CONFIGURATION, "the account is not paid for", _STATUSES),
    Meaning("405", Kind.CONFIGURATION, "nothing of Resend's is at this address", _STATUSES),
    beneath=HTTP,
)
# A key that is none is a `validation_error` with 400, like a wrong field; only its words tell.
KEY_REFUSED = re.compile(r"\bapi key\b", re.IGNORECASE)

# An hour less than Resend keeps a key: we count from our own beginning of the first send, by another clock, and the
# last send under a key must have been read well before Resend forgets it.
KEYS_KEPT = timedelta(hours=24) - timedelta(hours=1)
API = "https://api.resend.com"
API_KEY = re.compile(r"[!-~]+")


class Resend(EmailBackend):
    """Mail from one sender. Options: `api_key`, `sender` (an address, with or without a name), and `base_url`,
    which is Resend's own where it is empty.

    A notification's id is its key at every attempt, and the request is the same byte for byte: for a day a second
    send is answered as the first was, and sends nothing.
    """

    name = "resend"
    send_timeout = timedelta(seconds=15)  # it answers once the mail is stored; attachments take a while to travel
    deduplicates_for = KEYS_KEPT
    errors: ClassVar = ERRORS

    def __init__(self, *, api_key: str = "", sender: str = "", base_url: str = "") -> None:
        self.api_key = api_key
        self.sender = sender
        self.base_url = base_url
        self._http = HttpOnce(limit=self.send_timeout)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Resend:
        return cls(**{name: options[name] for name in ("api_key", "sender", "base_url") if name in options})

    @property
    def configured(self) -> bool:
        return bool(self.api_key and self.sender)

    def problems(self) -> Sequence[SettingProblem]:
        if not (self.api_key or self.base_url):
            return []  # EMAIL_SENDER alone may be another backend's
        found = []
        if not self.api_key:
            found.append(SettingProblem("RESEND_API_KEY", "is missing, while RESEND_BASE_URL is set"))
        elif not API_KEY.fullmatch(self.api_key):
            found.append(SettingProblem("RESEND_API_KEY", "must be printable ASCII without spaces"))
        if not self.sender:
            found.append(SettingProblem("EMAIL_SENDER", "is missing, while RESEND_API_KEY is set"))
        elif not sender_address(self.sender):
            found.append(SettingProblem("EMAIL_SENDER", "must be one address, such as Shop <shop@example.com>"))
        if self.base_url and (wrong := wrong_address(self.base_url)):
            found.append(SettingProblem("RESEND_BASE_URL", wrong))
        return found

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self, self._http)

    def close(self) -> None:
        self._http.close()


class _Session:
    def __init__(self, backend: Resend, http: HttpOnce) -> None:
        self._backend = backend
        self._http = http

    def send(self, message: Message) -> Receipt:
        request = requests.Request(
            "POST",
            f"{(self._backend.base_url or API).rstrip('/')}/emails",
            data=_body(message, self._backend.sender),
            headers={
                "Authorization": f"Bearer {self._backend.api_key}",
                "Content-Type": "application/json",
                "Idempotency-Key": str(message.notification_id),
                **message.tracking_headers(),
            },
        )
        answer = self._http.send(request)
        said = _read(answer)
        if answer.status == 200 and isinstance(said.get("id"), str):
            return Receipt(provider_id=said["id"], code="200")
        raise _error(answer, said, hide=(message.to, message.subject, message.body, self._backend.api_key))


def _body(message: Message, sender: str) -> bytes:
    """The same octets at every attempt: under a known key Resend takes no others.

    Raises: PermanentError where something stored cannot stand in a mail.
    """
    with mail.can_be_written():
        parts = mail.parts(message)
        said = {
            "from": sender,
            "to": [parts.to],
            "subject": message.subject,
            "text": message.body,
            "html": parts.html,
            "reply_to": parts.reply_to,
            "headers": parts.headers,
            "attachments": [_attached(file) for file in message.content.files],
        }
        present = {name: value for name, value in said.items() if value}
        return json.dumps(present, sort_keys=True, ensure_ascii=False).encode()


def _attached(file: File) -> Mapping[str, str]:
    return {
        "filename": file.name,
        "content_type": file.content_type,
        "content": base64.b64encode(file.octets).decode(),
    }


def _error(answer: Answer, said: Mapping[str, Any], *, hide: Sequence[str]) -> ChannelError:
    name = str(said.get("name", ""))
    words = text.one_line(str(said.get("message", "no error of Resend's")), hide=hide)
    if name == "validation_error" and KEY_REFUSED.search(words):
        name = "invalid_api_key"
    return answer.error(ERRORS, f"{answer.status} {name}", name, detail=words)


def _read(answer: Answer) -> Mapping[str, Any]:
    try:
        said = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
