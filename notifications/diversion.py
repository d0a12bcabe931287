"""What waits for a backend that refuses us, or is away, goes on by the next of its channel that takes it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog

from channels.contract import OnUnknown
from channels.registry import Channel, backends_of, channel_for
from notifications.outbox import divert

AT_MOST: Final = 1000  # of a lane in one round: the relay has more to do than this
MOST_STAYING: Final = 5000  # of a lane that are remembered as having nowhere to go; then all are asked again

log = structlog.get_logger(__name__)


@dataclass
class Staying:
    """What has nowhere to go, as long as no other backends are open."""

    open: list[Channel] = field(default_factory=list)
    ids: set[UUID] = field(default_factory=set)


class Diversion:
    """One relay's."""

    def __init__(self) -> None:
        self._staying: dict[str, Staying] = defaultdict(Staying)

    def attend(self, lanes: Iterable[str]) -> Counter[str]:
        """Divert what is due in those of these lanes that stand paused by their providers; how many came into which.

        Where a lane had more than AT_MOST, the rest is left to the next round. Raises: django.db's errors.
        """
        came = Counter[str]()
        with_others = {lane: known for lane in lanes if (known := channel_for(lane)) and len(backends_of(known)) > 1}
        for lane in self._staying.keys() - with_others.keys():
            del self._staying[lane]  # it is open again, or empty
        for lane, known in with_others.items():
            came += self._from(lane, known)
        return came

    def _from(self, lane: str, known: Channel) -> Counter[str]:
        others = _after(known)
        closed = divert.paused([each.instead_of(lane) for each in others])
        open_ = [each for each in others if each.instead_of(lane) not in closed]
        came = Counter[str]()
        if self._staying[lane].open != open_ or len(self._staying[lane].ids) > MOST_STAYING:
            self._staying[lane] = Staying(open_)
        staying, hold = self._staying[lane].ids, known.on_unknown is OnUnknown.HOLD
        while open_ and came.total() < AT_MOST and (found := divert.find(lane, hold_unknown=hold, staying=staying)):
            to = {each.id: taker.instead_of(lane) for each in found if (taker := _taker(open_, each))}
            moved = divert.divert(lane, to, hold_unknown=hold)
            came.update(moved.values())
            staying |= {each.id for each in found} - to.keys()
            if to and not moved:
                break  # somebody else holds them, or the lane is open again
        if came:
            log.warning("notifications.diverted", lane=lane, count=came.total(), lanes=sorted(came))
        return came


def _after(known: Channel) -> list[Channel]:
    """The channel's other backends, beginning with the next."""
    every = backends_of(known)
    place = every.index(known)
    return [*every[place + 1 :], *every[:place]]


def _taker(backends: Iterable[Channel], waiting: divert.Waiting) -> Channel | None:
    _, to, subject, body, content = waiting
    return next((each for each in backends if each.takes(to=to, subject=subject, body=body, content=content)), None)
