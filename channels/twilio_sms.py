"""SMS, by Twilio's Messages API and Twilio's own library."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

import phonenumbers
import requests
from twilio.base.exceptions import TwilioException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance

from channels import sms_text, text, twilio_list
from channels.contract import (
    Backend,
    ChannelError,
    DeliveryReport,
    Forged,
    Message,
    Progress,
    Receipt,
    Refused,
    SettingProblem,
    Unacceptable,
)
from channels.errors import Kind, Meaning, Table
from channels.http_errors import HTTP
from channels.http_once import Answer, HttpOnce, wrong_address
from channels.rules import Recipient, Rules, Subject

PATIENCE = timedelta(seconds=5)  # after a 429 without Retry-After
QUEUE_PATIENCE = timedelta(minutes=10)  # the queue holds hours of messages
_ERRORS = "https://www.twilio.com/docs/api/errors"
_STATUS = "https://www.twilio.com/docs/messaging/api/message-resource#message-status-values"
_REFUSALS = "https://www.rfc-editor.org/rfc/rfc9110#section-15.5"

ERRORS = Table(
    Meaning("20003", Kind.CONFIGURATION, "the account or its token is refused", f"{_ERRORS}/20003"),
    Meaning("20429", Kind.RATE_LIMITED, "too many requests; never executed", f"{_ERRORS}/20429", patience=PATIENCE),
    Meaning("20500", Kind.UNKNOWN, "Twilio failed, and may have done it", f"{_ERRORS}/20500"),
    Meaning("21211", Kind.PERMANENT, "no valid 'To'", f"{_ERRORS}/21211"),
    Meaning("21212", Kind.PERMANENT, "no valid 'From'", f"{_ERRORS}/21212"),
    Meaning("21408", Kind.CONFIGURATION, "no permission for the recipient's region", f"{_ERRORS}/21408"),
    Meaning("21606", Kind.CONFIGURATION, "our 'From' cannot send messages", f"{_ERRORS}/21606"),
    Meaning("21608", Kind.CONFIGURATION, "a trial account sends to verified numbers only", f"{_ERRORS}/21608"),
    Meaning("21610", Kind.PERMANENT, "the recipient has opted out", f"{_ERRORS}/21610", refuses=Refused.OPTED_OUT),
    Meaning(
        "21611",
        Kind.TRANSIENT,
        "the sender's queue holds hours of messages",
        f"{_ERRORS}/21611",
        patience=QUEUE_PATIENCE,
    ),
    Meaning("21612", Kind.PERMANENT, "no route from this sender to this recipient", f"{_ERRORS}/21612"),
    Meaning("21614", Kind.PERMANENT, "no mobile number", f"{_ERRORS}/21614"),
    Meaning("21617", Kind.PERMANENT, "over 1600 characters", f"{_ERRORS}/21617"),
    Meaning("30001", Kind.TRANSIENT, "the queue is full", f"{_ERRORS}/30001", patience=QUEUE_PATIENCE),
    Meaning("30002", Kind.CONFIGURATION, "the account is suspended", f"{_ERRORS}/30002"),
    # By callback, or in the answer itself where Twilio knows at once. A new try is a new paid message.
    Meaning("30003", Kind.PERMANENT, "the handset cannot be reached", f"{_ERRORS}/30003"),
    Meaning("30004", Kind.PERMANENT, "the message was blocked", f"{_ERRORS}/30004"),
    Meaning("30005", Kind.PERMANENT, "no such handset", f"{_ERRORS}/30005"),
    Meaning("30006", Kind.PERMANENT, "a landline, or a carrier that cannot be reached", f"{_ERRORS}/30006"),
    Meaning("30007", Kind.PERMANENT, "filtered by the carrier", f"{_ERRORS}/30007"),
    Meaning("30008", Kind.PERMANENT, "not delivered, for a reason that is not known", f"{_ERRORS}/30008"),
    # The status of a message that was created, where its code is none of these.
    Meaning("failed", Kind.PERMANENT, "created as failed, without a code that is known", _STATUS),
    Meaning("undelivered", Kind.PERMANENT, "created as undelivered, without a code that is known", _STATUS),
    Meaning("canceled", Kind.PERMANENT, "created as canceled, without a code that is known", _STATUS),
    # What a status says without a code that we know.
    Meaning("402", Kind.CONFIGURATION, "somebody wants to be paid", _REFUSALS),
    Meaning("405", Kind.CONFIGURATION, "nothing of Twilio's is at this address", _REFUSALS),
    Meaning("429", Kind.RATE_LIMITED, "too many requests; never executed", f"{_ERRORS}/20429", patience=PATIENCE),
    beneath=HTTP,
)
FAILED = frozenset({"failed", "undelivered", "canceled"})
DELIVERED = frozenset({"delivered", "read"})

# What reading an answer that is not Twilio's may raise; brackets nested too deep are the last.
UNREADABLE = (AttributeError, TypeError, ValueError, RecursionError)

MESSAGE_LIMIT = 1600  # characters: https://www.twilio.com/docs/api/errors/21617
E164 = re.compile(r"\+[1-9][0-9]{1,14}")
LONGEST_NUMBER = 15  # digits, country included
INVALID_NUMBER = ("invalid_phone_number", "must be a phone number in E.164: +, country and number, digits only")
SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")


class TwilioSms(Backend):
    """Options: `account_sid`, `auth_token`, `from_number` or `messaging_service_sid`, `base_url`, which is Twilio's own
    where it is empty, and `max_segments` of one message (0: as many as its characters take)."""

    name = "twilio_sms"
    send_timeout = timedelta(seconds=15)  # as long as Twilio itself waits for anybody's webhook
    gives_reports = True
    looks_up = True
    errors: ClassVar = ERRORS

    def __init__(
        self,
        *,
        account_sid: str = "",
        auth_token: str = "",
        from_number: str = "",
        messaging_service_sid: str = "",
        base_url: str = "",
        max_segments: int = 0,
    ) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._from_number = from_number
        self._messaging_service_sid = messaging_service_sid
        self._base_url = base_url
        self._max_segments = max_segments
        self._http = HttpOnce(limit=self.send_timeout)
        self._list_http = HttpOnce(limit=twilio_list.PAGE_TIMEOUT, answer_limit=twilio_list.PAGE_LIMIT)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> TwilioSms:
        names = ("account_sid", "auth_token", "from_number", "messaging_service_sid", "base_url")
        texts = {name: options.get(name, "") for name in names}
        return cls(**texts, max_segments=options.get("max_segments") or 0)

    @property
    def configured(self) -> bool:
        sender = self._from_number or self._messaging_service_sid
        return bool(self._account_sid and self._auth_token and sender)

    def problems(self) -> Sequence[SettingProblem]:
        sid, token = self._account_sid, self._auth_token
        sender, service = self._from_number, self._messaging_service_sid
        if not (sid or token or sender or service):
            return []
        found = []
        if not sid:
            found.append(SettingProblem("TWILIO_ACCOUNT_SID", "is missing beside other TWILIO_ variables"))
        elif not ACCOUNT.fullmatch(sid):
            found.append(SettingProblem("TWILIO_ACCOUNT_SID", "must be AC and 32 hexadecimal digits"))
        if not token:
            found.append(SettingProblem("TWILIO_AUTH_TOKEN", "is missing beside other TWILIO_ variables"))
        if sender and service:
            both = "and TWILIO_MESSAGING_SERVICE_SID are both set: keep the one to send from"
            found.append(SettingProblem("TWILIO_FROM_NUMBER", both))
        elif not sender and not service:
            neither = "or TWILIO_MESSAGING_SERVICE_SID must be set: Twilio needs a sender"
            found.append(SettingProblem("TWILIO_FROM_NUMBER", neither))
        if sender and not E164.fullmatch(sender):
            found.append(SettingProblem("TWILIO_FROM_NUMBER", "must be in E.164, such as +15005550006"))
        if service and not SERVICE.fullmatch(service):
            detail = "must be MG and 32 hexadecimal digits"
            found.append(SettingProblem("TWILIO_MESSAGING_SERVICE_SID", detail))
        if self._base_url and (wrong := wrong_address(self._base_url)):
            found.append(SettingProblem("TWILIO_BASE_URL", wrong))
        return found

    def validate(self, *, to: str, subject: str, body: str) -> str:
        """`to` is in E.164, as given: a number without its country could be anybody's."""
        text.refuse_subject(subject, "SMS")
        text.require_body(body, limit=MESSAGE_LIMIT)
        if self._max_segments:
            self._refuse_segments(body)
        if not E164.fullmatch(to) or not _is_possible(to):
            raise Unacceptable("to", *INVALID_NUMBER)
        return to

    def _refuse_segments(self, body: str) -> None:
        encoding, segments = sms_text.measure(body)
        if segments > self._max_segments:
            detail = f"takes {segments} segments in {encoding}, and may take {self._max_segments}: shorten it"
            if encoding is sms_text.Encoding.UCS_2:
                detail += ", or leave out what GSM-7 has not"
            raise Unacceptable("message", "too_many_segments", detail)

    def measure(self, body: str) -> Mapping[str, str | int]:
        encoding, segments = sms_text.measure(body)
        return {"encoding": encoding.value, "segments": segments}

    def rules(self) -> Rules | None:
        """Stricter in one thing: a number with a trunk prefix behind its country, which is no E.164 (+44 0 20 …).

        None with a limit of segments: the database has no alphabet to count them by.
        """
        if self._max_segments:
            return None
        return Rules(
            subject=Subject.NONE,
            message_limit=MESSAGE_LIMIT,
            recipient=Recipient.PATTERN,
            pattern=_possible_numbers(),
            refusal=INVALID_NUMBER,
        )

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self, self._http)

    def close(self) -> None:
        self._http.close()
        self._list_http.close()

    def read_report(self, *, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> DeliveryReport:
        """A status callback, signed with our auth token: https://www.twilio.com/docs/usage/security."""
        signature = headers.get("X-Twilio-Signature", "")
        if not self._auth_token or not RequestValidator(self._auth_token).validate(url, dict(fields), signature):
            raise Forged("the signature is not Twilio's")
        status = fields.get("MessageStatus", "")
        if status in DELIVERED:
            progress = Progress.DELIVERED
        elif status in FAILED:
            progress = Progress.UNDELIVERED
        else:
            progress = Progress.TAKEN  # queued, sending, sent: and whatever Twilio may add between
        code = _code(fields.get("ErrorCode", "")) or status if progress is Progress.UNDELIVERED else ""
        return DeliveryReport(
            provider_id=fields.get("MessageSid", ""),
            progress=progress,
            code=code,
            refuses=ERRORS[code].refuses if code in ERRORS else Refused.MESSAGE,
        )

    def look_up(self, message: Message, *, since: datetime) -> Sequence[Receipt]:
        """By the recipient, the text, the time, and who sent it: our number, or our messaging service. A text that
        Twilio was told to redact is like none.
        """
        sent = twilio_list.Sent(message.to, message.body, self._from_number, self._messaging_service_sid, since)
        wire = _Wire(self._list_http, message, expected=200)
        try:
            found = {str(each.sid): each for each in twilio_list.find(self._client(wire), sent)}
        except (*UNREADABLE, TwilioException):
            if not wire.answered:
                raise  # a mistake of ours
            raise HTTP["2xx"].error("a list in words that are not Twilio's", code="200") from None
        oldest_first = sorted((each.date_created, sid) for sid, each in found.items() if SID.fullmatch(sid))
        return [
            Receipt(provider_id=sid, code=_given_up(found[sid]), detail=text.one_line(str(found[sid].status)))
            for _, sid in oldest_first
        ]

    def create(self, message: Message, wire: HttpClient) -> MessageInstance:
        """Have Twilio's library make the request, over our own wire, and read the answer."""
        optional = {
            "from_": self._from_number,
            "messaging_service_sid": self._messaging_service_sid,
            "status_callback": message.receipt_url,
        }
        given = {name: value for name, value in optional.items() if value}
        return self._client(wire).messages.create(to=message.to, body=message.body, **given)

    def _client(self, wire: HttpClient) -> Client:
        # A client for each message is cheap, and keeps nothing of another's. Its address comes from our
        # settings alone: without an environment of its own it would obey TWILIO_EDGE and TWILIO_REGION.
        client = Client(
            self._account_sid,
            self._auth_token,
            http_client=wire,
            environment={"TWILIO_EDGE": ""},
        )
        if self._base_url:
            client.api.base_url = self._base_url
        return client


class _Session:
    def __init__(self, backend: TwilioSms, http: HttpOnce) -> None:
        self._backend = backend
        self._http = http

    def send(self, message: Message) -> Receipt:
        wire = _Wire(self._http, message, expected=201)
        created = None
        try:
            created = self._backend.create(message, wire)
        except UNREADABLE:
            if not wire.answered:
                raise  # a mistake of ours; what follows is an answer that the library cannot read
        if created is None or not SID.fullmatch(str(created.sid)):
            raise HTTP["2xx"].error("created, in words that are not Twilio's", code="201")
        if created.status in FAILED:
            raise _failed(_code(created.error_code), created.status)
        return Receipt(provider_id=str(created.sid), code="201", detail=text.one_line(str(created.status)))


class _Wire(HttpClient):  # type: ignore[misc]  # the library is not typed
    """What Twilio's library sends through, instead of its own client: ours sends once, and logs nothing."""

    def __init__(self, http: HttpOnce, message: Message, *, expected: int) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False)
        self._http = http
        self._message = message
        self._expected = expected  # any other status raises what it means
        self.answered = False

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,  # noqa: FBT001, FBT002 - the library's signature
    ) -> Response:
        headers = {**(headers or {}), **self._message.tracking_headers()}
        answer = self._http.send(requests.Request(method, uri, params=params, data=data, headers=headers, auth=auth))
        if answer.status != self._expected:
            raise _error(answer, self._message)
        self.answered = True
        return Response(answer.status, answer.text, answer.headers)


def _error(answer: Answer, message: Message) -> ChannelError:
    code, raw = _read(answer.text)
    words = text.one_line(raw, hide=(message.body, message.to))
    return answer.error(ERRORS, code, detail=words, code=code)


def _failed(code: str, status: str) -> ChannelError:
    """A message that was created and has failed already: certainly not sent."""
    return ERRORS.first(code, status).error(f"created as {status}", code=code or "201")


def _given_up(found: MessageInstance) -> str:
    """The code of a message that Twilio has not got through, "" for any other."""
    return _code(found.error_code) or str(found.status) if found.status in FAILED else ""


def _read(answer: str) -> tuple[str, str]:
    """The code and the message of an error as Twilio documents it; no code in any other answer."""
    try:
        error = json.loads(answer)
        return _code(error.get("code")), str(error.get("message", ""))
    except UNREADABLE:
        return "", "no error of Twilio's"


def _code(given: object) -> str:
    return str(given) if re.fullmatch(r"[0-9]{5}", str(given)) else ""


def _is_possible(number: str) -> bool:
    # Possible, not valid: of the right length for its country. Numbering plans change weekly, and the
    # provider knows whether this number exists; test numbers never do.
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def _possible_numbers() -> str:
    """A pattern of every number that has a possible length for its country, as it is written in E.164."""
    countries: dict[tuple[int, ...], list[str]] = {}
    for code, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        known: Any = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
        lengths = {*known.general_desc.possible_length, *known.general_desc.possible_length_local_only}
        written = tuple(sorted(n for n in lengths if 2 <= n <= LONGEST_NUMBER - len(str(code))))
        countries.setdefault(written, []).append(str(code))
    each = [f"(?:{'|'.join(codes)})(?:{_digits(lengths)})" for lengths, codes in countries.items()]
    return rf"\+(?:{'|'.join(each)})"


def _digits(lengths: Sequence[int]) -> str:
    """A pattern of so many digits; lengths that follow each other are one count."""
    runs: list[list[int]] = []
    for length in lengths:
        if runs and runs[-1][1] == length - 1:
            runs[-1][1] = length
        else:
            runs.append([length, length])
    return "|".join(f"[0-9]{{{first},{last}}}" for first, last in runs)
