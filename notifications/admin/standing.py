"""Every channel of this installation and how its lanes stand, put together for the pages that show them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from channels import sandbox
from channels.registry import Channel, backends_of, by_head, channel_for, channel_of, channels, is_test
from notifications.admin.base import label
from notifications.models import WebhookEndpoint
from notifications.outbox import standing as outbox
from notifications.outbox import tell
from notifications.outbox.lanes import FOREVER
from notifications.outbox.standing import COUNTED, Lately, Standing

SHOWN: Final = 100  # lanes on a page; a search finds the others
NOT_CONFIGURED: Final = "not configured"


@dataclass(frozen=True, slots=True)
class Way:
    """A backend of a channel, in words."""

    backend: str
    head: str  # what the names of its lanes begin with
    where: str
    rate: str


@dataclass(frozen=True, slots=True)
class Line:
    """A lane, in words."""

    of: Standing
    about: str  # what its name does not say: whose webhook it is
    backend: str
    rate: str
    states: list[tuple[str, str]]  # a word, and its colour
    why: list[str]
    is_test: bool

    @property
    def state(self) -> SafeString:
        return format_html_join("", "{}", ((label(word, kind),) for word, kind in self.states))

    @property
    def waiting(self) -> str:
        return many([self.of])

    @property
    def oldest(self) -> str:
        return lasting(self.of.due_for)


@dataclass(slots=True)
class Section:
    """A channel, and those of its lanes that are shown."""

    name: str
    ways: list[Way] = field(default_factory=list)
    lately: Lately | None = None
    lines: list[Line] = field(default_factory=list)
    stopped: Line | None = None  # where an operator has paused all of it
    others: bool = False  # it may have lanes that are not shown

    @property
    def is_known(self) -> bool:
        return self.name in channels()

    @property
    def waiting(self) -> str:
        return many([line.of for line in self.lines if not line.is_test], others=self.others)

    @property
    def is_one_lane(self) -> bool:
        """Whether pausing the channel would be pausing the lane."""
        return [line.of.lane for line in self.lines if not line.is_test] == [self.name]


def sections(search: str) -> tuple[list[Section], int]:
    """Every channel in the order of the settings, then those that are none here; and how many lanes there are.

    Raises: django.db's errors.
    """
    lanes = known_lanes()
    found, total = outbox.standing(lanes, search=search, most=SHOWN)
    lately = outbox.lately()
    every = {name: Section(name, list(_ways(known)), lately.get(name)) for name, known in channels().items()}
    owners = _owners(found)
    for section in every.values():
        section.others = total > len(found)
    for each in found:
        name = channel_of(each.lane)
        section = every.setdefault(name, Section(name))
        line = _line(each, owners.get(each.lane, ""))
        if each.lane == name and each.stopped_until is not None:
            section.stopped = line
        if each.lane != name or _is_lane(each, lanes):
            section.lines.append(line)
    return [section for section in every.values() if section.lines or section.stopped or not search], total


@dataclass(frozen=True, slots=True)
class Covered:
    """What a pause of a name holds."""

    own: Standing | None  # what there is under this very name
    lanes: list[Standing]
    total: int  # lanes, of which `lanes` may be the first


def covered(which: str) -> Covered:
    """Raises: django.db's errors."""
    known = known_lanes()
    found, total = outbox.standing(known, only=which, most=SHOWN)
    own = found[0] if found and found[0].lane == which else None
    if own is not None and not _is_lane(own, known):
        return Covered(own, found[1:], total - 1)
    return Covered(own, found, total)


def known_lanes() -> list[str]:
    """Those of the settings. Where each recipient of a channel is a lane by itself, there are others."""
    return [lane for known in by_head().values() for lane in _lanes(known)]


def many(lanes: Sequence[Standing], *, others: bool = False) -> str:
    """How many wait in them. `others`: there are lanes that are not among them."""
    counted = sum(min(COUNTED, each.waiting) for each in lanes)
    return f"{counted:,}{'+' if others or any(each.waiting > COUNTED for each in lanes) else ''}"


def lasting(seconds: float | None) -> str:
    """How long, in the unit that tells most; "" for no time."""
    if seconds is None:
        return ""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def until(standing: Standing) -> str:
    """When an operator's pause ends."""
    if standing.stopped_until is None or standing.stopped_until == FOREVER:
        return "until it is resumed"
    return f"until {standing.stopped_until:%Y-%m-%d %H:%M:%S} UTC"


def kept_by(standing: Standing) -> list[str]:
    """What resuming it ends, in words."""
    found = []
    if standing.stopped_until is not None:
        found.append(f"paused by {standing.stopped_by} {until(standing)}: {standing.stopped_reason}")
    if standing.reason:
        when = "one message at a time is tried"
        if standing.paused_for:
            when = f"tried again in {lasting(standing.paused_for)}"
        in_a_row = f", {standing.failures} failures in a row" if standing.failures > 1 else ""
        found.append(f"closed by what was answered, {when}{in_a_row}: {standing.reason}")
    return found


def _lanes(known: Channel) -> Iterator[str]:
    rules = known.backend.rules()
    if rules is not None and not rules.lane_for_each:
        yield known.head
    elif rules is not None:
        yield from map(known.lane, rules.names)


def _is_lane(standing: Standing, known: Collection[str]) -> bool:
    """Or the row of a channel as a whole, which is none of its lanes unless it has but one."""
    return standing.lane in known or standing.waiting > 0 or bool(standing.reason)


def _ways(known: Channel) -> Iterator[Way]:
    entry: Mapping[str, Any] = settings.NOTIFIER_CHANNELS[known.name]
    options = {"": entry, **{each["name"]: each for each in entry.get("backups", ())}}
    for each in backends_of(known):
        if each.backend.internal:
            where = "clients' own receivers"
        elif not each.backend.configured:
            where = NOT_CONFIGURED
        else:
            where = "sandbox" if sandbox.plays(options[each.backup]) else "provider"
        yield Way(each.backend.name, each.head, where, _rate(each))


def _rate(known: Channel) -> str:
    return str(known.rate) if known.rate is not None else "as fast as it goes"


def _line(standing: Standing, about: str) -> Line:
    known = channel_for(standing.lane)
    paced = f", next in {lasting(standing.next_in)}" if standing.next_in >= 1 else ""
    return Line(
        of=standing,
        about=about,
        backend=known.backend.name if known else "none here",
        rate=f"{_rate(known)}{paced}" if known else "",
        states=list(_states(standing)) if known else [("nobody sends it here", "failed")],
        why=kept_by(standing),
        is_test=is_test(standing.lane),
    )


def _states(standing: Standing) -> Iterator[tuple[str, str]]:
    if standing.stopped_until is not None:
        yield "paused by an operator", "paused"
    if standing.with_channel:
        yield "paused with its channel", "paused"
    if standing.reason:
        yield ("closed by its provider", "failed") if standing.paused_for else ("half-open, not yet proven", "pending")
    elif standing.stopped_until is None and not standing.with_channel:
        yield "open", "sent"


def _owners(found: Sequence[Standing]) -> dict[str, str]:
    """Whose webhooks they are, by lane."""
    ids = {}
    for each in found:
        if channel_of(each.lane) == tell.CHANNEL:
            try:
                ids[UUID(each.lane.rpartition(":")[2])] = each.lane
            except ValueError:
                continue
    webhooks = WebhookEndpoint.objects.filter(pk__in=ids).values_list("pk", "client__name") if ids else ()
    return {ids[pk]: f"webhook of {client}" for pk, client in webhooks}


def as_of() -> str:
    return f"{timezone.now():%Y-%m-%d %H:%M:%S} UTC"
