"""What may be asked for: a request to notify, and why one cannot become a notification. No database is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from channels.contract import Unacceptable
from channels.registry import Channel, channels
from notifications.states import Priority

FARTHEST: Final = timedelta(days=366)  # a year ahead: beyond it a date is more likely a mistake


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRequest:
    """What a client asks for."""

    channel: str
    message: str
    to: str = ""
    subject: str = ""
    send_at: datetime | None = None  # aware; None or past: at once
    expires_at: datetime | None = None  # aware; never sent after it
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, object] = field(default_factory=dict)

    def fingerprint(self) -> bytes:
        """SHA-256 of the canonical request, for callers that have no JSON body."""
        parts = {
            "channel": self.channel,
            "to": self.to,
            "message": self.message,
            "subject": self.subject,
            "send_at": self.send_at and self.send_at.astimezone(UTC).isoformat(),
            "expires_at": self.expires_at and self.expires_at.astimezone(UTC).isoformat(),
            "priority": self.priority.value,
            "metadata": dict(self.metadata),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).digest()


def validated(request: NotificationRequest) -> tuple[Channel, str]:
    """The channel, and the recipient in its normal form. Raises: Refused."""
    known = channels().get(request.channel)
    if known is None or known.backend.internal:
        open_to_all = [name for name, each in channels().items() if not each.backend.internal]
        raise Refused(Problem("channel", "unknown_channel", f"must be one of {', '.join(open_to_all)}"))
    if not known.backend.configured:
        detail = f"{request.channel} has no provider configured on this service"
        raise Refused(Problem("channel", "channel_not_configured", detail))
    try:
        recipient = known.backend.validate(to=request.to, subject=request.subject, body=request.message)
    except Unacceptable as error:
        raise Refused(Problem(error.field, error.code, error.detail)) from None
    if problem := _wrong_times(request):
        raise Refused(problem)
    return known, recipient


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
