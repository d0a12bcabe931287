"""Pauses of lanes, shared by all workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from notifications.outbox.statement import run

# Pauses a lane for %(seconds)s; of two pauses the later end holds. %(growing)s: doubled for each failure in a row,
# up to %(longest)s. Index: primary key. Rows: (seconds from now, failures).
PAUSE: Final = """
INSERT INTO lane_state AS l (lane, paused_until, reason, failures)
VALUES (%(lane)s, now() + %(seconds)s::float8 * interval '1 second', %(reason)s, %(growing)s::int)
ON CONFLICT (lane) DO UPDATE SET
    paused_until = greatest(l.paused_until, now() + interval '1 second' * CASE
        WHEN %(growing)s = 1 THEN least(%(longest)s::float8, %(seconds)s::float8 * power(2, least(l.failures, 20)))
        ELSE %(seconds)s::float8 END),
    reason = excluded.reason,
    failures = CASE WHEN l.paused_until > now() THEN l.failures ELSE l.failures + excluded.failures END
RETURNING extract(epoch FROM paused_until - now())::float8, failures
"""

# Opens a lane again: an operator says so. Index: primary key. Rows: (lane) if it had a state.
RESUME: Final = "DELETE FROM lane_state WHERE lane = %(lane)s RETURNING lane"

# Forgets a pause that is over: a send has succeeded since. One that began before the pause may end within it, and says
# nothing. Index: primary key. Rows: (lane) if there was one.
SUCCEED: Final = "DELETE FROM lane_state WHERE lane = %(lane)s AND paused_until <= now() RETURNING lane"


def pause(lane: str, duration: timedelta, reason: str) -> float:
    """Pause for as long as the provider asked; returns the seconds it will stand."""
    return _pause(lane, duration, reason, growing=False, longest=duration)


def pause_growing(lane: str, shortest: timedelta, longest: timedelta, reason: str) -> float:
    """Pause for `shortest`, doubled at each failure in a row up to `longest`; returns the seconds it will stand.

    Several workers meeting the same failure at once count as one.
    """
    return _pause(lane, shortest, reason, growing=True, longest=longest)


def resume(lane: str) -> bool:
    return bool(run(RESUME, {"lane": lane}))


def succeed(lane: str) -> bool:
    return bool(run(SUCCEED, {"lane": lane}))


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
