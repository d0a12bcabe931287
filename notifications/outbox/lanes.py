"""Whether a lane is open, for all workers: what a provider's answers close, what probes open, what operators stop.

A row with a `reason` was closed by an answer. While its pause lasts nothing is claimed; after that it is half-open: one
worker at a time may claim a single notification as a probe, until one succeeds. An operator's pause has columns of its
own, which no answer touches.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

from notifications.outbox.statement import run

FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)  # until an operator resumes it

# The name of the row that an operator's pause of the lane's whole channel has, written into statements (as
# `channels.registry.channel_row` says it). A destination begins behind a colon, a backend behind an at sign.
CHANNEL_ROW: Final[LiteralString] = "substring({lane} from '^(?:~test:)?[^:@]*')"

# Pauses a lane for %(seconds)s; of two pauses the later end holds. %(growing)s: doubled for each failure in a row,
# up to %(longest)s; those that meet one trouble at once are one. Index: primary key.
# Rows: (seconds from now, failures).
PAUSE: Final = """
INSERT INTO lane_state AS l (lane, paused_until, reason, failures)
VALUES (%(lane)s, now() + %(seconds)s::float8 * interval '1 second', %(reason)s, %(growing)s::int)
ON CONFLICT (lane) DO UPDATE SET
    paused_until = greatest(l.paused_until, now() + interval '1 second' * CASE
        WHEN %(growing)s = 1 THEN least(%(longest)s::float8, %(seconds)s::float8 * power(2,
            greatest(0, least(l.failures - (l.paused_until > now())::int, 20))))
        ELSE %(seconds)s::float8 END),
    reason = excluded.reason,
    failures = CASE WHEN l.paused_until > now() THEN l.failures ELSE l.failures + excluded.failures END
RETURNING extract(epoch FROM paused_until - now())::float8, failures
"""

# Lets %(worker)s send one message of a half-open lane, for %(seconds)s, or until it gives that back. Another's probe
# counts while that worker has its lease: whoever was killed in the middle of one is buried in seconds.
# Index: primary keys. Rows: (whether it may, whether the lane is closed to all others), one row.
PROBE: Final = """
WITH probe AS (
    UPDATE lane_state SET probe_until = now() + %(seconds)s::float8 * interval '1 second', probe_by = %(worker)s
    WHERE lane = %(lane)s AND reason <> '' AND paused_until <= now()
      AND (probe_until IS NULL OR probe_until <= now() OR NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = probe_by))
    RETURNING lane
)
SELECT EXISTS (SELECT 1 FROM probe), EXISTS (SELECT 1 FROM lane_state WHERE lane = %(lane)s AND reason <> '')
"""

# The probe said nothing of the lane, or closed it again: another may follow. Index: primary key. Rows: none.
END_PROBE: Final = """
UPDATE lane_state SET probe_until = NULL, probe_by = NULL WHERE lane = %(lane)s AND probe_by = %(worker)s
"""

# What is closed opens: the row goes, unless something else stands in it. Index: primary key. Rows: (lane) if there was
# anything to end.
_END: Final[LiteralString] = """
WITH gone AS (
    DELETE FROM lane_state
    WHERE lane = %(lane)s AND {ends} AND NOT coalesce({remains}, false)
    RETURNING lane
), kept AS (
    UPDATE lane_state SET
        paused_until = least(paused_until, now()), reason = '', failures = 0,
        probe_until = NULL, probe_by = NULL{and also}
    WHERE lane = %(lane)s AND {ends} AND {remains}
    RETURNING lane
)
SELECT lane FROM gone UNION ALL SELECT lane FROM kept
"""
_WITH_ALL_ELSE: Final = "(stopped_until > now() OR next_at > now())"
_CLOSED: Final[LiteralString] = _END.replace("{remains}", _WITH_ALL_ELSE).replace("{and also}", "")

# Forgets a pause that is over: a send has succeeded since. One that began before the pause may end within it, and says
# nothing.
SUCCEED: Final = _CLOSED.replace("{ends}", "reason <> '' AND paused_until <= now()")

# Forgets a pause, over or not: what closed the lane was mended. An operator's pause stands.
REOPEN: Final = _CLOSED.replace("{ends}", "reason <> ''")

# Opens a lane again, whatever keeps it: an operator says so.
RESUME: Final = (
    _END.replace("{ends}", "(reason <> '' OR stopped_until > now())")
    .replace("{remains}", "next_at > now()")
    .replace("{and also}", ", stopped_until = NULL, stopped_by = '', stopped_reason = ''")
)

# An operator pauses a lane, or all of a channel, until %(until)s; a later word takes the place of an earlier one.
# Index: primary key. Rows: none.
STOP: Final = """
INSERT INTO lane_state (lane, paused_until, reason, failures, stopped_until, stopped_by, stopped_reason)
VALUES (%(lane)s, now(), '', 0, %(until)s, %(by)s, %(reason)s)
ON CONFLICT (lane) DO UPDATE SET
    stopped_until = excluded.stopped_until, stopped_by = excluded.stopped_by, stopped_reason = excluded.stopped_reason
"""


class Probe(enum.Enum):
    """What a worker may do that believes a lane to be half-open."""

    YES = enum.auto()  # send one message, and say what came of it
    NO = enum.auto()  # it is paused, or somebody else probes
    NEEDLESS = enum.auto()  # it is open


def pause(lane: str, duration: timedelta, reason: str) -> float:
    """Pause for as long as the provider asked; returns the seconds it will stand."""
    return _pause(lane, duration, reason, growing=False, longest=duration)


def pause_growing(lane: str, shortest: timedelta, longest: timedelta, reason: str) -> float:
    """Pause for `shortest`, doubled at each failure in a row up to `longest`; returns the seconds it will stand.

    Several workers meeting the same failure at once count as one.
    """
    return _pause(lane, shortest, reason, growing=True, longest=longest)


def probe(lane: str, worker_id: UUID, duration: timedelta) -> Probe:
    """Ask for the probe; who has it calls `succeed`, or `end_probe` once the failure has paused the lane again.

    `duration`: longer than any send takes.
    """
    may, closed = run(PROBE, {"lane": lane, "worker": worker_id, "seconds": duration.total_seconds()})[0]
    if may:
        return Probe.YES
    return Probe.NO if closed else Probe.NEEDLESS


def end_probe(lane: str, worker_id: UUID) -> None:
    """Safe to repeat, and where the lane has opened meanwhile."""
    run(END_PROBE, {"lane": lane, "worker": worker_id})


def succeed(lane: str) -> bool:
    """Whether that has opened the lane."""
    return bool(run(SUCCEED, {"lane": lane}))


def reopen(lane: str) -> bool:
    """What the provider refused was mended; an operator's pause stands. Whether there was anything to open."""
    return bool(run(REOPEN, {"lane": lane}))


def stop(lane: str, *, until: datetime | None, by: str, reason: str) -> None:
    """An operator's pause, of a lane or of all of a channel; None: until it is resumed. Safe to repeat."""
    run(STOP, {"lane": lane, "until": until or FOREVER, "by": by, "reason": reason})


def resume(lane: str) -> bool:
    """End every pause of this very name. Whether there was one. Safe to repeat."""
    return bool(run(RESUME, {"lane": lane}))


def _pause(lane: str, duration: timedelta, reason: str, *, growing: bool, longest: timedelta) -> float:
    rows = run(
        PAUSE,
        {
            "lane": lane,
            "seconds": duration.total_seconds(),
            "reason": reason,
            "growing": int(growing),
            "longest": longest.total_seconds(),
        },
    )
    seconds: float = rows[0][0]
    return seconds
