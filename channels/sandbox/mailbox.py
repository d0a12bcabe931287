"""What the sandbox received: in memory within bounds, and in a journal file where one is asked for."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO

KEPT_MESSAGES = 20_000
KEPT_CHARACTERS = 32 * 1024 * 1024  # of subjects, bodies and all else together; the oldest go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message that a provider has taken."""

    number: int  # 1 for the first since the start; never used twice
    received_at: str  # ISO 8601, UTC
    channel: str  # "slack", "sms" or "email"
    to: str
    subject: str = ""
    body: str
    provider_id: str = ""  # what the sender was answered
    correlation_id: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)  # headers and fields worth a look

    def mentions(self, text: str) -> bool:
        """Whether any part of it holds this (case-folded) text."""
        parts = (
            self.to,
            self.subject,
            self.body,
            self.provider_id,
            self.correlation_id,
            *self.extra.values(),
        )
        return any(text in part.casefold() for part in parts)


class Mailbox:
    """Thread-safe; numbers survive `clear`, so that a reader never mistakes a new message for an old one."""

    def __init__(self, journal: Path | None = None) -> None:
        self._kept: deque[Received] = deque()
        self._characters = 0
        self._taken = 0
        self._changed = threading.Condition()
        self._journal: IO[str] | None = journal.open("a", encoding="utf-8") if journal else None

    @property
    def taken(self) -> int:
        """How many were ever taken, forgotten ones included."""
        return self._taken

    def take(
        self,
        channel: str,
        to: str,
        body: str,
        *,
        subject: str = "",
        provider_id: str = "",
        correlation_id: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Received:
        """Keep a message, and write it to the journal before the sender is answered."""
        with self._changed:
            self._taken += 1
            message = Received(
                number=self._taken,
                received_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                channel=channel,
                to=to,
                subject=subject,
                body=body,
                provider_id=provider_id,
                correlation_id=correlation_id,
                extra=extra or {},
            )
            if self._journal:
                self._journal.write(json.dumps(asdict(message)) + "\n")
                self._journal.flush()
            self._kept.append(message)
            self._characters += _size(message)
            while len(self._kept) > KEPT_MESSAGES or self._characters > KEPT_CHARACTERS:
                self._characters -= _size(self._kept.popleft())
            self._changed.notify_all()
            return message

    def messages(self, channel: str = "", text: str = "") -> list[Received]:
        """Those still kept, newest first; `text` is looked for in every part, in any case."""
        with self._changed:
            kept = list(self._kept)
        wanted = text.casefold()
        return [
            message
            for message in reversed(kept)
            if (not channel or message.channel == channel) and (not wanted or message.mentions(wanted))
        ]

    def find(self, provider_id: str) -> Received | None:
        with self._changed:
            return next((kept for kept in reversed(self._kept) if kept.provider_id == provider_id), None)

    def wait(self, count: int, *, seconds: float) -> None:
        """Until `count` messages were taken since the start. Raises: TimeoutError."""
        ends = monotonic() + seconds
        with self._changed:
            while self._taken < count:
                if not self._changed.wait(ends - monotonic()) and monotonic() >= ends:
                    raise TimeoutError(f"{self._taken} of {count} messages came within {seconds} s")

    def clear(self) -> None:
        with self._changed:
            self._kept.clear()
            self._characters = 0

    def close(self) -> None:
        with self._changed:
            if self._journal:
                self._journal.close()
                self._journal = None


def _size(message: Received) -> int:
    return len(message.subject) + len(message.body) + sum(map(len, message.extra.values()))
