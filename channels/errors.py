"""What a provider's codes mean, as data: each backend has one table of them at the top of its file.

The tables are all there is: backends raise what they say, docs/errors.md is written from them (`make errors`), and the
contract suite has a stand-in answer every row.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import assert_never

from channels.contract import (
    ChannelError,
    ConfigurationError,
    PermanentError,
    RateLimited,
    Refused,
    TransientError,
)


class Kind(enum.StrEnum):
    """The class of a code: what an error of it is raised as."""

    PERMANENT = "permanent"  # refused, and would be again
    TRANSIENT = "transient"  # certainly not sent, may be later
    UNKNOWN = "unknown"  # may have been sent
    RATE_LIMITED = "rate limited"  # certainly not sent, costs no try
    CONFIGURATION = "configuration"  # our credentials, account or address are refused


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row: a code of the provider's, and what follows from it."""

    code: str  # the provider's own word or number
    kind: Kind
    says: str  # what the provider means by it, in a few words
    source: str  # the page that says so
    _: KW_ONLY
    refuses: Refused = Refused.MESSAGE  # of a permanent one
    patience: timedelta = timedelta(0)  # before the next try at the least, where the answer names no time
    isolated: bool = False  # of a transient one: this message's own trouble, which says nothing of the provider
    rests: bool = False  # of a transient or unknown one: nothing else would get through either, the lane pauses at once

    @property
    def action(self) -> str:
        """What becomes of the notification, in a few words; for docs and operators."""
        match self.kind:
            case Kind.PERMANENT:
                return {
                    Refused.MESSAGE: "fail",
                    Refused.RECIPIENT: "fail, and suppress the recipient",
                    Refused.OPTED_OUT: "fail, and suppress the recipient, who has opted out",
                    Refused.DESTINATION: "fail, and pause the lane",
                }[self.refuses]
            case Kind.TRANSIENT:
                alone = "; says nothing of the lane" if self.isolated else ""
                return f"try again{_not_before(self.patience)}{_and_pause(rests=self.rests)}{alone}"
            case Kind.UNKNOWN:
                return f"as the channel's policy says: resend, marked, or hold{_and_pause(rests=self.rests)}"
            case Kind.RATE_LIMITED:
                return f"pause the lane for as long as asked, else {self.patience.total_seconds():.0f} s"
            case Kind.CONFIGURATION:
                return "pause the lane, fail nothing"
            case unreachable:
                assert_never(unreachable)

    def error(self, detail: str, *, code: str = "", retry_after: timedelta | None = None) -> ChannelError:
        """The error that this row is raised as. `code`: what to show for it, where that is more than the row's own.

        `retry_after`: what the answer asks for.
        """
        shown = code or self.code
        wait = self.patience if retry_after is None else retry_after
        match self.kind:
            case Kind.PERMANENT:
                return PermanentError(shown, detail, refuses=self.refuses)
            case Kind.TRANSIENT:
                return TransientError(
                    shown,
                    detail,
                    outcome_unknown=False,
                    retry_after=wait or None,
                    rests=self.rests,
                    isolated=self.isolated,
                )
            case Kind.UNKNOWN:
                return TransientError(shown, detail, outcome_unknown=True, rests=self.rests)
            case Kind.RATE_LIMITED:
                return RateLimited(shown, detail, retry_after=wait)
            case Kind.CONFIGURATION:
                return ConfigurationError(shown, detail)
            case unreachable:
                assert_never(unreachable)


class Table(Mapping[str, Meaning]):
    """A backend's rows by code, in their order; then those of the table `beneath`, which holds what everybody may say
    who speaks the same protocol, as far as the backend has none of its own for the same code.

    Raises: ValueError where a code has two rows.
    """

    def __init__(self, *rows: Meaning, beneath: Table | None = None) -> None:
        self.own: Mapping[str, Meaning] = {row.code: row for row in rows}
        if len(self.own) != len(rows):
            raise ValueError("a code has two rows")
        self.beneath = beneath
        self._rows = {**self.own, **{code: row for code, row in (beneath or {}).items() if code not in self.own}}

    def __getitem__(self, code: str) -> Meaning:
        return self._rows[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def first(self, *codes: str) -> Meaning:
        """The row of the first code that has one: what says most comes first. Raises: KeyError where none has."""
        return self[next((code for code in codes if code in self), codes[-1])]


def _not_before(patience: timedelta) -> str:
    return f", not before {patience.total_seconds():.0f} s" if patience else ""


def _and_pause(*, rests: bool) -> str:
    return ", and pause the lane" if rests else ""
