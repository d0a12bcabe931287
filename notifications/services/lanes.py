"""Operators pause and resume lanes: one, or all of a channel. What is in them stays pending, and fails for nothing."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

import structlog
from django.db import transaction
from django.utils import timezone

from channels.registry import MARK, by_head, channel_of, channels, is_test, twins_by_head
from notifications import nudge
from notifications.intake import Problem, Refused
from notifications.outbox import lanes

REASON_LIMIT: Final = 200  # characters: a line in a list

log = structlog.get_logger(__name__)


def pause_lane(lane: str, *, actor: str, reason: str, until: datetime | None = None) -> None:
    """Send nothing of this lane, or of all lanes of a channel by its name, until then or until it is resumed.

    No success, probe or answer of a provider ends it; a second word takes the place of the first. What is being sent is
    not called back. `until`: aware. Raises: Refused, naming the field; nothing is stored then.
    """
    problems = check_pause(lane, reason=reason, until=until)
    if problems:
        raise Refused(*problems)
    lanes.stop(lane, until=until, by=actor, reason=reason.strip())
    log.warning("lane.stopped", lane=lane, by=actor, reason=reason.strip(), until=until and until.isoformat())


def resume_lane(lane: str, *, actor: str) -> bool:
    """End whatever keeps this lane, a provider's pause, too. Whether there was anything. Safe to repeat.

    A pause of its whole channel stands: it is resumed by the channel's name.
    """
    resumed = lanes.resume(lane)
    if resumed:
        log.warning("lane.resumed", lane=lane, by=actor)
        transaction.on_commit(partial(nudge.request, lane))  # of a whole channel: the relays look within a second
    return resumed


def check_pause(lane: str, *, reason: str, until: datetime | None) -> list[Problem]:
    """What `pause_lane` would refuse."""
    found = []
    if wrong := _wrong_lane(lane):
        found.append(Problem("lane", "unknown_lane", wrong))
    if not reason.strip() or len(reason.strip()) > REASON_LIMIT or not reason.strip().isprintable():
        found.append(Problem("reason", "invalid_reason", f"must be one line of 1 to {REASON_LIMIT} characters"))
    if until is not None and until <= timezone.now():
        found.append(
            Problem("until", "in_the_past", "must be in the future; leave it out to pause until it is resumed")
        )
    return found


def _wrong_lane(lane: str) -> str:
    """Why it can be none: a name that is mistyped would pause nothing, and nobody would know."""
    if not lane.isprintable():
        return "must be one line of printable characters"
    mark = MARK if is_test(lane) else ""
    heads = twins_by_head() if is_test(lane) else by_head()
    head, colon, destination = lane.removeprefix(MARK).partition(":")
    known = heads.get(channel_of(lane))
    if known is None:
        return f"must begin with a channel: {', '.join(mark + name for name in channels())}"
    if head not in heads:
        return f"must begin with {' or '.join(mark + each for each in heads if channel_of(each) == known.name)}"
    rules = known.backend.rules()
    # Which destinations there are is not for settings to say that have no provider.
    is_destination = rules is not None and (destination in rules.names or not known.backend.configured)
    if not colon or rules is None or (rules.lane_for_each and is_destination):
        return ""
    if not rules.lane_for_each:
        return f"must be {known.name}: this channel has no other lanes"
    return f"must be {known.name} or one of its lanes: {', '.join(map(known.lane, rules.names))}"
