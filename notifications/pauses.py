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
REFUSED_LONGEST: Final = timedelta(minutes=5)
RATE_LONGEST: Final = timedelta(hours=1)  # a provider that asks for more is asked again after this

log = structlog.get_logger(__name__)


def after(failure: ChannelError, lane: str) -> bool:
    """Pause the lane for all workers if this failure asks for it; whether it did."""
    match failure:
        case RateLimited():
            duration, growing = min(failure.retry_after, RATE_LONGEST), False
        case ConfigurationError():
            duration, growing = REFUSED, True
        case PermanentError(refuses=Refused.DESTINATION) | TransientError(rests=True):
            duration, growing = REFUSED, True
        case _:
            return False
    reason = f"{failure.code}: {failure.detail}"
    try:
        if growing:
            seconds = lanes.pause_growing(lane, duration, REFUSED_LONGEST, reason)
        else:
            seconds = lanes.pause(lane, duration, reason)
        log.warning("lane.paused", lane=lane, reason=reason, seconds=round(seconds, 1))
    except DatabaseError:
        log.warning("lane.pause_failed", lane=lane)  # the next refusal tries again
    finally:
        give_back()
    return True


def end(lane: str) -> None:
    """Forget the pause of a lane that has succeeded after it."""
    try:
        if lanes.succeed(lane):
            log.info("lane.resumed", lane=lane)
    except DatabaseError:
        log.warning("lane.resume_failed", lane=lane)  # the relay still knows it as troubled
    finally:
        give_back()
