"""The channels of this installation, built once from settings.NOTIFIER_CHANNELS: the live ones, and their twins.

A twin is the same channel, given the options of the entry's `sandbox` and none of the provider's: it sends what test
keys ask for. Its backend is the same, unless those options name another, because the sandbox does not play every
provider. Its lanes have a mark in their names: live notifications and tests are claimed, paced and paused apart, and
none ever changes from the one to the other. The mark stands where others have the channel's name:
a worker that knows no twins (of an earlier version, in the middle of an upgrade) finds no channel for such a lane and
leaves it alone, where it would otherwise send what is in it to the provider.

A channel may have several backends: the first, whose lanes bear the channel's name alone, and in their order its
backups, which are named in their lanes: `sms`, `sms@apprise`. So each is claimed, paced and paused apart, and what a
notification waits for is written in its row. Here, too, a worker that knows of none leaves such lanes alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from channels import rate as rates
from channels.contract import Backend, OnUnknown, Unacceptable

log = logging.getLogger(__name__)

MARK: Final = "~test:"  # what the name of every test lane begins with, and of no live one
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,29}")  # of a backup: it is a part of lanes and of addresses


@dataclass(frozen=True, slots=True)
class Channel:
    """A medium and how this installation sends over it: by its first backend, or by one of its backups."""

    name: str
    backend: Backend
    on_unknown: OnUnknown
    batch: int  # notifications claimed at a time by one thread
    max_tries: int | None = None  # None for the service's own number
    test: bool = False  # the twin, whose backend reaches the sandbox alone
    backup: str = ""  # the name of this backup; "" for the first backend
    optional: bool = False  # nobody misses it where it has no provider
    rate: rates.Rate | None = None  # of each of its lanes; None for as fast as it goes, as the sandbox is

    @property
    def head(self) -> str:
        """What its lanes are named by, before any destination: `sms`, `sms@apprise`."""
        return f"{self.name}@{self.backup}" if self.backup else self.name

    @property
    def unused(self) -> bool:
        """Whether it is optional, and nobody has configured it."""
        return self.optional and not self.backend.configured

    def lane(self, to: str) -> str:
        """The lane of a (validated) recipient: `sms`, `slack:ops`; of the twin: `~test:sms`, `~test:slack:ops`."""
        return self._lane(self.backend.destination(to))

    def instead_of(self, lane: str) -> str:
        """Its own lane for what waits in another of the channel: the destination is as the first backend has it."""
        return self._lane(lane.removeprefix(MARK).partition(":")[2])

    def takes(self, *, to: str, subject: str, body: str, content: Collection[str] = ()) -> bool:
        """Whether this backend could send what another one of the channel has accepted; raises nothing.

        `content`: the names of what it has beyond its text, all of which must arrive.
        """
        if not self.backend.carries.issuperset(content):
            return False
        try:
            self.backend.validate(to=to, subject=subject, body=body)
        except Unacceptable:
            return False
        except Exception:  # our bug, and no reason for what waits to wait for it
            log.exception("a backend failed to say whether it takes a message: %s", self.head)
            return False
        return self.backend.configured

    def _lane(self, destination: str) -> str:
        lane = f"{self.head}:{destination}" if destination else self.head
        return MARK + lane if self.test else lane


def channel_of(lane: str) -> str:
    """The channel's name in a lane's name."""
    return _head_of(lane).partition("@")[0]


def _head_of(lane: str) -> str:
    return lane.removeprefix(MARK).partition(":")[0]


def channel_row(lane: str) -> str:
    """The name under which operators stop all lanes of this one's channel: `slack`; of its tests: `~test:slack`."""
    return (MARK if is_test(lane) else "") + channel_of(lane)


def is_test(lane: str) -> bool:
    """Whether what is in this lane goes to the sandbox alone."""
    return lane.startswith(MARK)


def channel_for(lane: str) -> Channel | None:
    """What sends the notifications of a lane: of a test lane the twin, and never the live channel."""
    return (twins_by_head() if is_test(lane) else by_head()).get(_head_of(lane))


def backends_of(known: Channel) -> list[Channel]:
    """The channel by each of its backends, of the same mode: the first, then its backups in their order."""
    every = twins_by_head() if known.test else by_head()
    return [each for each in every.values() if each.name == known.name]


@cache
def channels() -> Mapping[str, Channel]:
    """Every channel by name, with its first backend, in the order of the settings.

    Raises: ImproperlyConfigured where an entry has no policy for unknown outcomes: none is guessed; or where backups
    are not named apart.
    """
    return {each.name: each for each in by_head().values() if not each.backup}


@cache
def twins() -> Mapping[str, Channel]:
    """The twins by the channel's name; of those channels alone for which a sandbox is configured.

    Raises: as `channels`.
    """
    return {each.name: each for each in twins_by_head().values() if not each.backup}


@cache
def by_head() -> Mapping[str, Channel]:
    """Every channel by each of its backends, by what their lanes are named by. Raises: as `channels`."""
    return {each.head: each for each in _build_all(test=False)}


@cache
def twins_by_head() -> Mapping[str, Channel]:
    """The twins' likewise. Raises: as `channels`."""
    return {each.head: each for each in _build_all(test=True)}


def open_channels() -> list[str]:
    """The names of those that clients can post to."""
    return [name for name, each in channels().items() if not each.backend.internal]


def channel(name: str) -> Channel:
    """Raises: KeyError where no such channel exists in the settings."""
    return channels()[name]


def _build_all(*, test: bool) -> Iterator[Channel]:
    entries: Mapping[str, Mapping[str, Any]] = settings.NOTIFIER_CHANNELS
    for name, options in entries.items():
        if test and not options.get("sandbox"):
            continue  # a backup's sandbox alone would be no twin of the channel
        yield _build(name, options, options, test=test)
        named = set[str]()
        for backup in options.get("backups", ()):
            _require_name(name, backup.get("name"), named)
            if not test or backup.get("sandbox"):
                yield _build(name, options, backup, test=test)


def _build(name: str, options: Mapping[str, Any], own: Mapping[str, Any], *, test: bool) -> Channel:
    """`options`: the channel's entry; `own`: the backend's, which is the same for the first."""
    if "@" in name or f"{name}:".startswith(MARK):
        raise ImproperlyConfigured(f'No channel can be named "{name}": it is the mark of test lanes, or of backups.')
    given = own["sandbox"] if test else own
    backend_class: type[Backend] = import_string(given.get("backend", own["backend"]))
    return Channel(
        name=name,
        backend=backend_class.from_options(given),
        on_unknown=_policy(name, options.get("on_unknown")),
        batch=options["batch"],
        max_tries=options.get("max_tries"),
        optional=options.get("optional", False),
        test=test,
        rate=None if test else _rate(name, own.get("rate", "")),
        backup="" if own is options else own["name"],
    )


def _require_name(channel: str, name: Any, named: set[str]) -> None:
    """`named`: those before it, to which it is added."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in named:
        raise ImproperlyConfigured(
            f'NOTIFIER_CHANNELS["{channel}"]["backups"]: each needs a "name" of its own, of up to 30 small letters, '
            f"digits, dashes or underscores, not {name!r}."
        )
    named.add(name)


def _policy(name: str, given: Any) -> OnUnknown:
    try:
        return OnUnknown(given)
    except ValueError:
        allowed = " or ".join(OnUnknown)
        raise ImproperlyConfigured(
            f'NOTIFIER_CHANNELS["{name}"]["on_unknown"] must be {allowed}, not {given!r}.'
        ) from None


def _rate(name: str, given: str) -> rates.Rate | None:
    try:
        return rates.parse(given)
    except ValueError as error:
        raise ImproperlyConfigured(f'NOTIFIER_CHANNELS["{name}"]["rate"] {error}.') from None


def _forget(*, setting: str, **_: object) -> None:
    # Tests override settings; a service never does.
    if setting == "NOTIFIER_CHANNELS":
        for known in (channels, twins, by_head, twins_by_head):
            known.cache_clear()


setting_changed.connect(_forget)
