"""What every channel backend takes, returns and raises.

A backend sends one message once: it does not retry, sleep between tries or touch a database.
What happens after an error is decided elsewhere, from the kind of the error alone.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol
from uuid import UUID

from channels.rules import Rules

if TYPE_CHECKING:
    from channels.errors import Table


class OnUnknown(enum.StrEnum):
    """What becomes of a send whose outcome nobody knows."""

    RESEND = "resend"  # send again, and mark the attempt as a possible duplicate
    HOLD = "hold"  # park it as unknown until a receipt, a look-up or an operator settles it


class File(NamedTuple):
    """What goes along with a message, whole."""

    name: str
    content_type: str  # type/subtype, without parameters
    octets: bytes


class Content(NamedTuple):
    """What a message has beyond its text, in its channel's own terms (`Backend.validate_content`)."""

    fields: Mapping[str, Any] = MappingProxyType({})  # JSON
    files: Sequence[File] = ()


NOTHING_MORE: Final = Content()


class Message(NamedTuple):
    """One message to one recipient, as a backend sees it."""

    notification_id: UUID  # the same at every attempt: providers that deduplicate can use it
    attempt: int  # 1 at the first send
    to: str  # normalised by the backend's own `validate`
    subject: str  # "" where the channel has none
    body: str
    correlation_id: str
    created_at: datetime  # aware, UTC: when the notification was accepted
    receipt_url: str = ""  # where the provider may report delivery later; "" for nowhere
    content: Content = NOTHING_MORE
    traceparent: str = ""  # of this send's part of a trace, as W3C has it; "" for none

    def tracking_headers(self) -> dict[str, str]:
        """What goes with every HTTP request that sends it, so that it can be found on both sides."""
        headers = {"X-Correlation-ID": self.correlation_id}
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The provider's word that it has taken the message."""

    provider_id: str = ""  # the provider's name for the message, where it gives one
    code: str = ""  # the provider's own code or status, for the attempt's record
    detail: str = ""


class Progress(enum.IntEnum):
    """How far a message has come by its provider's later word; one that arrives late with a lower rank is no news."""

    TAKEN = 1  # the provider has it, and no more is known
    UNDELIVERED = 2
    DELIVERED = 3  # final, whatever else is said


class Refused(enum.StrEnum):
    """What else a permanent refusal says no to."""

    MESSAGE = "message"  # nothing else: this text to this recipient
    RECIPIENT = "recipient"  # anything to this recipient, who is not there (no such mailbox): suppress it
    OPTED_OUT = "opted_out"  # anything to this recipient, who wants no more: suppress it
    DESTINATION = "destination"  # anything to this destination (an archived channel): pause its lane


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What a provider says of a message after it took it."""

    provider_id: str
    progress: Progress
    code: str = ""  # the provider's own, where it was not delivered
    refuses: Refused = Refused.MESSAGE  # what else that code says no to


class Forged(Exception):
    """Raised when a delivery report does not bear its provider's signature."""


class ChannelError(Exception):
    """The base of the four kinds; never raised itself.

    `code` is the provider's own code where it gave one. `detail` is one line for an operator: it never
    holds a secret, a webhook's path or the message's body.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class PermanentError(ChannelError):
    """Raised when this message or this recipient is refused and would be refused again."""

    def __init__(self, code: str, detail: str, *, refuses: Refused = Refused.MESSAGE) -> None:
        super().__init__(code, detail)
        self.refuses = refuses


class TransientError(ChannelError):
    """Raised when a later try may succeed; `outcome_unknown` when the message may have been sent.

    `rests`: nothing else would get through to this destination either, so that its lane pauses at once. `isolated`:
    this message's or recipient's own trouble, which says nothing of the provider and opens no circuit.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        outcome_unknown: bool,
        retry_after: timedelta | None = None,
        rests: bool = False,
        isolated: bool = False,
    ) -> None:
        super().__init__(code, detail)
        self.outcome_unknown = outcome_unknown
        self.retry_after = retry_after
        self.rests = rests
        self.isolated = isolated


class RateLimited(ChannelError):
    """Raised when the provider asks for patience and has certainly not sent; costs no try."""

    def __init__(self, code: str, detail: str, *, retry_after: timedelta) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after


class ConfigurationError(ChannelError):
    """Raised when our credentials or our account are refused: the lane pauses and nothing fails."""


class Unacceptable(Exception):
    """Raised when a request cannot become a message of this channel; names the field to mend."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field  # "to", "subject" or "message"; or one of the content's own
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """A setting that is missing, wrong or contradicts another, for the system checks."""

    variable: str  # the environment variable to mend
    detail: str


class Session(Protocol):
    """A run of sends, one after the other; used by one thread at a time."""

    def send(self, message: Message) -> Receipt:
        """Send once, within the backend's total deadline.

        Raises: PermanentError, TransientError, RateLimited, ConfigurationError.
        """
        ...


class Backend(ABC):
    """One vendor's way to send over one channel. Instances are shared by threads: keep no state of a send."""

    name: ClassVar[str]  # written on each attempt, e.g. "slack_webhook"
    send_timeout: ClassVar[timedelta]  # the total deadline of one send, connecting included
    internal: ClassVar[bool] = False  # whether the service alone sends by it: to clients there is no such channel
    gives_reports: ClassVar[bool] = False  # whether `read_report` reads any: one may come before our own record
    looks_up: ClassVar[bool] = False  # whether `look_up` can tell what became of a send that nobody knows of
    # How long the provider knows a notification's own key, by which a second send is none; None: it takes no key.
    deduplicates_for: ClassVar[timedelta | None] = None
    errors: ClassVar[Table | None] = None  # what its codes mean
    # Of what `validate_content` takes the names that do arrive. As a backup it is given no message that has any other.
    carries: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, Any]) -> Backend:
        """Build from this channel's entry in NOTIFIER_CHANNELS; never raises for missing or wrong options."""

    @property
    @abstractmethod
    def configured(self) -> bool:
        """Whether anything can be sent: an unconfigured channel refuses requests by a clear error."""

    @abstractmethod
    def problems(self) -> Sequence[SettingProblem]:
        """Settings that are half given, malformed or contradictory; empty where nothing is set at all."""

    @abstractmethod
    def validate(self, *, to: str, subject: str, body: str) -> str:
        """Check one request and return the recipient in its normal form.

        Raises: Unacceptable, naming the field.
        """

    def validate_content(self, given: Mapping[str, Any]) -> Content:
        """Check what a request has beyond its text, and return it in its normal form. Most channels take nothing.

        Raises: Unacceptable, naming the field (`html`, `attachments[2].content`).
        """
        for name in given:
            raise Unacceptable(name, "not_supported", "is nothing that this channel takes: leave it out")
        return NOTHING_MORE

    def escape(self, words: str) -> str:
        """Words of unknown origin as they are to stand in a message, where the provider reads more than plain text."""
        return words

    def rules(self) -> Rules | None:
        """What `validate` asks, for the database to ask of what comes from SQL; None: nothing may come from there."""
        return None

    def destination(self, to: str) -> str:
        """The part of the lane below the channel, where a provider limits each destination apart; else ""."""
        return ""

    def read_report(self, *, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> DeliveryReport:
        """Read what the provider posted to a message's `receipt_url` (`url`, as the provider was told it).

        Raises: Forged, also where this provider gives no reports.
        """
        raise Forged(f"{self.name} gives no delivery reports")

    def measure(self, body: str) -> Mapping[str, str | int]:
        """What else there is to know of a text before it is sent, to be shown: an SMS's segments. Most have nothing."""
        return {}

    def look_up(self, message: Message, *, since: datetime) -> Sequence[Receipt]:
        """What the provider has taken since then that may be this message, oldest first; asked before one that may have
        been sent is sent again. One that it has given up since bears its `code`; all others have none.

        Raises: as `Session.send`; nothing is sent by it. Takes 10 s at most: a send follows.
        """
        return ()

    @abstractmethod
    def session(self) -> AbstractContextManager[Session]:
        """Open a run of sends. Connecting happens at the first, so that its errors belong to a message."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close, or leave it to what keeps their connections
        """Close what is kept open between sessions: the process is about to stop. A send after it connects anew."""
