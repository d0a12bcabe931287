"""Which answers pause a lane, for how long, and what opens it again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from django.db import Error as DatabaseError

from channels.contract import ChannelError, ConfigurationError, PermanentError, RateLimited, Refused, TransientError
from notifications.outbox import lanes
from notifications.outbox.statement import give_back

REFUSED: Final = timedelta(seconds=15)  # doubled at each refusal in a row: mending takes a person
BROKEN: Final = timedelta(seconds=5)  # doubled at each failed probe: most outages of a provider are short
LONGEST: Final = timedelta(minutes=5)  # of those two: an outage is over for us no later than that after it is
RATE_LONGEST: Final = timedelta(hours=1)  # a provider that asks for more is asked again after this

log = structlog.get_logger(__name__)


def after(failure: ChannelError, lane: str, *, breaks: bool = False) -> float | None:
    """Pause the lane for all workers if this failure asks for it; for how many seconds, or None where it does not.

    `breaks`: it was the last that the circuit bears, were it a transient one.
    """
    match failure:
        case RateLimited():
            duration, growing = min(failure.retry_after, RATE_LONGEST), False
        case ConfigurationError():
            duration, growing = REFUSED, True
        case PermanentError(refuses=Refused.DESTINATION) | TransientError(rests=True):
            duration, growing = REFUSED, True
        case TransientError(isolated=False) if breaks:
            duration, growing = BROKEN, True
        case _:
            return None
    reason = f"{failure.code}: {failure.detail}"
    seconds = duration.total_seconds()
    try:
        if growing:
            seconds = lanes.pause_growing(lane, duration, LONGEST, reason)
        else:
            seconds = lanes.pause(lane, duration, reason)
        log.warning("lane.paused", lane=lane, reason=reason, seconds=round(seconds, 1))
    except DatabaseError:
        log.warning("lane.pause_failed", lane=lane)  # the next refusal tries again
    finally:
        give_back()
    return seconds


def end(lane: str) -> bool:
    """Open a half-open lane, which has succeeded. Whether it was one."""
    try:
        opened = lanes.succeed(lane)
        if opened:
            log.info("lane.resumed", lane=lane)
    except DatabaseError:
        log.warning("lane.resume_failed", lane=lane)  # the relay still knows it as troubled
        return False
    finally:
        give_back()
    return opened
