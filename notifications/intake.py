"""What may be asked for: a request to notify, and why one cannot become a notification. No database is asked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from channels.contract import NOTHING_MORE, Content, Unacceptable
from channels.registry import Channel, channels, open_channels, twins
from channels.text import UNSTORABLE
from notifications.states import Priority

FARTHEST: Final = timedelta(days=366)  # a year ahead: beyond it a date is more likely a mistake
METADATA_LIMIT: Final = 4096  # bytes of its JSON: labels for the caller's own use, not a second message
_LARGEST: Final = 10**METADATA_LIMIT  # a number of more digits is too long by itself, and Python would not write it
# It is written to logs, stored, and sent on in provider headers: nothing that could end a header or a line.
CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._~:/+=-]{0,128}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One field to mend."""

    field: str
    code: str
    detail: str


class Refused(Exception):
    """Raised when a request cannot become a notification; nothing was stored."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.detail}" for problem in problems))
        self.problems = problems


class NoSandbox(Exception):
    """Raised when a test could not be delivered: this service has no sandbox for the channel; nothing was stored."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"{channel} has no sandbox on this service: a test key can send nothing over it")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRequest:
    """What a client asks for."""

    channel: str
    message: str = ""
    to: str = ""
    subject: str = ""
    send_at: datetime | None = None  # aware; None or past: at once
    expires_at: datetime | None = None  # aware; never sent after it
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, object] = field(default_factory=dict)
    content: Mapping[str, object] = field(default_factory=dict)  # beyond the text; its form is the channel's own
    template: str = ""  # the name of one, which gives message and subject
    template_version: int | None = None  # None for the current one
    variables: Mapping[str, object] | None = None  # JSON, for the template; None for none

    @property
    def by_template(self) -> bool:
        return bool(self.template) or self.variables is not None or self.template_version is not None

    def fingerprint(self) -> bytes:
        """SHA-256 of the canonical request, for callers that have no JSON body.

        `notifications_accept` makes the same in SQL: what is asked for by both under one key is one request. It takes
        no content, which is a part of this only where there is some. Raises: as `canonical`.
        """
        parts = [
            *(self.channel, self.to, self.message, self.subject),
            *(_moment(self.send_at), _moment(self.expires_at)),
            self.priority.name.lower(),
        ]
        written = json.dumps(parts, ensure_ascii=False) + canonical(self.metadata)
        if self.content:
            written += json.dumps(self.content, ensure_ascii=False, sort_keys=True)
        if self.by_template:
            # What was asked for, not what it said then: a retry replays, though the template be changed.
            asked = [self.template, self.template_version, dict(self.variables or {})]
            written += json.dumps(asked, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(written.encode(errors="surrogatepass")).digest()


def canonical(metadata: Mapping[str, object]) -> str:
    """Metadata as JSON in the one form that Postgres writes, too: members by name, numbers in full (1.0 is 1).

    Raises: ValueError or TypeError where a value is neither a text nor a number that JSON has.
    """
    if not metadata:
        return "{}"
    if not all(isinstance(name, str) for name in metadata):
        raise TypeError("a name that is no text")
    members = (f"{_written(name)}: {_written(metadata[name])}" for name in sorted(metadata))
    return f"{{{', '.join(members)}}}"


def _written(value: object) -> str:
    if isinstance(value, float):
        number = Decimal(repr(value))
        if not number.is_finite():
            raise ValueError("JSON has no such number")
        return f"{number.normalize():f}" if number else "0"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("neither a text nor a number")
    return json.dumps(value, ensure_ascii=False)


def _moment(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def validated(request: NotificationRequest, *, test: bool = False) -> tuple[Channel, str, Content]:
    """The channel (of a test its twin), recipient and content in their normal form. Raises: Refused, NoSandbox.

    The SQL of notifications_accept_checked asks the same in the same order, but for the content.
    """
    known = _open_channel(request.channel, test=test)
    if not known.backend.configured:
        detail = f"{request.channel} has no provider configured on this service"
        raise Refused(Problem("channel", "channel_not_configured", detail))
    try:
        recipient = known.backend.validate(to=request.to, subject=request.subject, body=request.message)
    except Unacceptable as error:
        raise Refused(Problem(error.field, error.code, error.detail)) from None
    content = _content(known, request.content) if request.content else NOTHING_MORE
    if problem := _wrong_times(request) or _wrong_metadata(request.metadata):
        raise Refused(problem)
    return known, recipient, content


def _content(known: Channel, given: Mapping[str, object]) -> Content:
    """Raises: Refused, naming its fields below `content`."""
    if not isinstance(given, Mapping):
        raise Refused(Problem("content", "invalid", "must be an object"))
    try:
        return known.backend.validate_content(given)
    except Unacceptable as error:
        raise Refused(Problem(f"content.{error.field}", error.code, error.detail)) from None


def normal_recipient(channel: str, to: str, *, test: bool = False) -> str:
    """A recipient in its channel's normal form, whether or not it is configured. Raises: Refused, NoSandbox."""
    known = _open_channel(channel, test=test)
    for subject in ("", "none"):  # some channels need one, and others take none
        try:
            return known.backend.validate(to=to, subject=subject, body="none")
        except Unacceptable as error:
            problem = Problem(error.field, error.code, error.detail)
        if problem.field != "subject":
            break
    raise Refused(problem)


def _open_channel(name: str, *, test: bool) -> Channel:
    """Raises: Refused, NoSandbox."""
    known = channels().get(name)
    if known is None or known.backend.internal:
        raise Refused(Problem("channel", "unknown_channel", f"must be one of {', '.join(open_channels())}"))
    if test:
        known = twins().get(name)
        if known is None:
            raise NoSandbox(name)
    return known


def require_correlation_id(correlation_id: str) -> None:
    """Raises: Refused."""
    if not CORRELATION_ID.fullmatch(correlation_id):
        detail = "must be up to 128 letters and digits of ASCII, or any of ._~:/+=-"
        raise Refused(Problem("correlation_id", "invalid", detail))


def _wrong_metadata(metadata: Mapping[str, object]) -> Problem | None:
    if not metadata:
        return None
    values = metadata.values()
    if not all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values):
        return _invalid_metadata()
    if any(isinstance(value, int) and abs(value) >= _LARGEST for value in values):
        return _too_long_metadata()
    try:
        # Python's own writer is much quicker, and differs in order alone where no number is written by an exponent.
        as_it_is = all(not isinstance(value, float) or (value % 1 and 1e-4 <= abs(value) < 1e16) for value in values)
        written = json.dumps(dict(metadata), ensure_ascii=False) if as_it_is else canonical(metadata)
        texts = "".join([*metadata, *(value for value in values if isinstance(value, str))])
    except (TypeError, ValueError):  # a name that is no text, or a number that JSON does not have
        return _invalid_metadata()
    if UNSTORABLE.search(texts):
        return Problem("metadata", "invalid_characters", "holds a NUL or half of a surrogate pair")
    return _too_long_metadata() if len(written.encode()) > METADATA_LIMIT else None


def _invalid_metadata() -> Problem:
    return Problem("metadata", "invalid", "must be an object whose values are strings or numbers")


def _too_long_metadata() -> Problem:
    return Problem("metadata", "max_length", f"may have {METADATA_LIMIT} bytes at most, as JSON")


def _wrong_times(request: NotificationRequest) -> Problem | None:
    if request.send_at is None and request.expires_at is None:
        return None
    if problem := wrong_send_at(request.send_at):
        return problem
    if request.expires_at is not None:
        if request.expires_at.tzinfo is None:
            return _without_timezone("expires_at")
        if request.expires_at <= datetime.now(UTC):
            return Problem("expires_at", "in_the_past", "must be in the future")
        if request.send_at is not None and request.expires_at <= request.send_at:
            return Problem("expires_at", "before_send_at", "must be after send_at")
    return None


def wrong_send_at(send_at: datetime | None) -> Problem | None:
    """Why nothing can be sent at this time; None where it can."""
    if send_at is None:
        return None
    if send_at.tzinfo is None:
        return _without_timezone("send_at")
    if send_at > datetime.now(UTC) + FARTHEST:
        return Problem("send_at", "too_far", "must be within a year")
    return None


def _without_timezone(name: str) -> Problem:
    return Problem(name, "timezone_missing", "must have an offset from UTC, such as Z")
