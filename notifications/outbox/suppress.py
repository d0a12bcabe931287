"""Who is sent nothing over a channel: put on the list, taken from it, and looked for by the statements of others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final, LiteralString
from uuid import UUID

from channels.contract import Refused
from channels.registry import MARK
from notifications.outbox.statement import run, storable
from notifications.states import Reason

TRUSTED_FOR: Final = 1.0  # seconds: what is known of the list as a whole, as of an API key

# Parts of other statements. `address` of a notification {row} (channel, recipient, lane), as the table has it.
ADDRESS: Final[LiteralString] = (
    f"CASE WHEN starts_with({{row}}.lane, '{MARK}') THEN '{MARK}' ELSE '' END"
    " || {row}.channel || ':' || {row}.recipient"
)
# Why nothing is sent to the recipient of {row}, or null. No join: whatever the planner believes of either side, each
# row is one look-up. Index: suppression_once.
_REASON: Final[LiteralString] = f"(SELECT s.reason FROM suppression AS s WHERE s.address = {ADDRESS})"
# The same, but where nobody is on the list nobody is looked for, and that is asked once for each statement.
REASON: Final[LiteralString] = f"CASE WHEN (SELECT EXISTS (SELECT 1 FROM suppression)) THEN {_REASON} END"
# The same of rows of one {lane}: where nobody is on the list for its channel. A look-up costs a tenth of what else a
# claim does for a row, and the lanes with the most to claim are those of channels that suppress nobody. By the first
# address in order: a range would be looked for in the table, if the planner took the list to be full of them.
REASON_IN_LANE: Final[LiteralString] = f"""CASE WHEN (
        SELECT starts_with((
            SELECT s.address FROM suppression AS s WHERE s.address >= c.begins ORDER BY s.address LIMIT 1
        ), c.begins) FROM (SELECT substring({{lane}}::text FROM '^(?:{MARK})?[^:@]*') || ':' AS begins OFFSET 0) AS c
    ) THEN {_REASON} END"""

# Which of %(channels)s, a test's behind its mark, have anybody on the list. Index: suppression_once. Rows: (channel).
LISTED: Final = """
SELECT c FROM unnest(%(channels)s::text[]) AS c WHERE starts_with(
    (SELECT s.address FROM suppression AS s WHERE s.address >= c || ':' ORDER BY s.address LIMIT 1), c || ':'
)
"""

# Puts recipients on the list; one that is there stays as it is. Index: suppression_once. Rows: (address) of each that
# was not there.
ADD: Final = """
INSERT INTO suppression (channel, recipient, test, reason, detail, source, notification_id, created_by, created_at)
SELECT n.*, now() FROM unnest(
    %(channels)s::text[], %(recipients)s::text[], %(tests)s::bool[], %(reasons)s::text[], %(details)s::text[],
    %(sources)s::text[], %(notifications)s::uuid[], %(actors)s::text[]
) AS n
ON CONFLICT (address) DO NOTHING
RETURNING address
"""

# Takes recipients from it. Index: suppression_once. Rows: (address) of each that was there.
REMOVE: Final = "DELETE FROM suppression WHERE address = ANY(%(addresses)s::text[]) RETURNING address"


# What of a provider's refusals puts a recipient on the list, and why.
SUPPRESSING: Final[Mapping[Refused, Reason]] = {
    Refused.RECIPIENT: Reason.HARD_BOUNCE,
    Refused.OPTED_OUT: Reason.OPT_OUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A recipient to be put on the list, in its channel's normal form."""

    channel: str
    recipient: str
    test: bool  # for test keys, in whose sandbox it was refused, and for nobody live
    reason: Reason
    detail: str = ""
    source: str = ""  # the provider's code
    notification_id: UUID | None = None
    created_by: str

    @property
    def address(self) -> str:
        return address(self.channel, self.recipient, test=self.test)


def address(channel: str, recipient: str, *, test: bool) -> str:
    """What the list is searched by."""
    return f"{MARK if test else ''}{channel}:{recipient}"


# By channel, a test's behind its mark: whether anybody is on the list for it, and until when that is believed.
_listed: dict[str, tuple[bool, float]] = {}


def any_in(channels: Collection[str]) -> bool:
    """Whether anybody is on the list for any of these channels, a test's behind its mark.

    A second ago, at the most: a look each time would cost a round trip. Who comes on the list of a channel that had
    nobody may be asked for until then, and is stopped when a worker claims it.
    """
    asked = monotonic()
    if old := [channel for channel in channels if channel not in _listed or _listed[channel][1] < asked]:
        some = {channel for (channel,) in run(LISTED, {"channels": old})}
        _listed.update({channel: (channel in some, asked + TRUSTED_FOR) for channel in old})
    return any(_listed[channel][0] for channel in channels)


def add(recipients: Iterable[Suppressed]) -> set[str]:
    """Put them on the list; the addresses that were not there. Safe to repeat."""
    # In one order everywhere, so that two transactions with the same recipients never wait for each other.
    rows = sorted(recipients, key=lambda each: each.address)
    parameters: dict[str, object] = {
        "channels": [each.channel for each in rows],
        "recipients": [each.recipient for each in rows],
        "tests": [each.test for each in rows],
        "reasons": [each.reason.value for each in rows],
        "details": [storable(each.detail) for each in rows],
        "sources": [storable(each.source) for each in rows],
        "notifications": [each.notification_id for each in rows],
        "actors": [each.created_by for each in rows],
    }
    _listed.clear()  # this process knows better now, though the transaction may be undone
    return {address for (address,) in run(ADD, parameters)}


def remove(addresses: Collection[str]) -> set[str]:
    """Take them from the list; the addresses that were there. Safe to repeat."""
    return {address for (address,) in run(REMOVE, {"addresses": list(addresses)})}
