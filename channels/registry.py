"""The channels of this installation, built once from settings.NOTIFIER_CHANNELS: the live ones, and their twins.

A twin is the same channel with the same backend, given the options of the entry's `sandbox` and none of the provider's:
it sends what test keys ask for. Its lanes have a mark in their names: live notifications and tests are claimed, paced
and paused apart, and none ever changes from the one to the other. The mark stands where others have the channel's name:
a worker that knows no twins (of an earlier version, in the middle of an upgrade) finds no channel for such a lane and
leaves it alone, where it would otherwise send what is in it to the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from channels.contract import Backend, OnUnknown

MARK: Final = "~test:"  # what the name of every test lane begins with, and of no live one


@dataclass(frozen=True, slots=True)
class Channel:
    """A medium and how this installation sends over it."""

    name: str
    backend: Backend
    on_unknown: OnUnknown
    batch: int  # notifications claimed at a time by one thread
    max_tries: int | None = None  # None for the service's own number
    test: bool = False  # the twin, whose backend reaches the sandbox alone
    optional: bool = False  # nobody misses it where it has no provider

    @property
    def unused(self) -> bool:
        """Whether it is optional, and nobody has configured it."""
        return self.optional and not self.backend.configured

    def lane(self, to: str) -> str:
        """The lane of a (validated) recipient: `sms`, `slack:ops`; of the twin: `~test:sms`, `~test:slack:ops`."""
        destination = self.backend.destination(to)
        lane = f"{self.name}:{destination}" if destination else self.name
        return MARK + lane if self.test else lane


def channel_of(lane: str) -> str:
    """The channel's name in a lane's name."""
    return lane.removeprefix(MARK).partition(":")[0]


def is_test(lane: str) -> bool:
    """Whether what is in this lane goes to the sandbox alone."""
    return lane.startswith(MARK)


def channel_for(lane: str) -> Channel | None:
    """What sends the notifications of a lane: of a test lane the twin, and never the live channel."""
    return (twins() if is_test(lane) else channels()).get(channel_of(lane))


@cache
def channels() -> Mapping[str, Channel]:
    """Every channel by name, in the order of the settings.

    Raises: ImproperlyConfigured where an entry has no policy for unknown outcomes: none is guessed.
    """
    return {name: _build(name, options, options) for name, options in settings.NOTIFIER_CHANNELS.items()}


@cache
def twins() -> Mapping[str, Channel]:
    """The twins by the channel's name; of those channels alone for which a sandbox is configured.

    Raises: as `channels`.
    """
    entries: Mapping[str, Mapping[str, Any]] = settings.NOTIFIER_CHANNELS
    return {
        name: _build(name, options, options["sandbox"], test=True)
        for name, options in entries.items()
        if options.get("sandbox")
    }


def open_channels() -> list[str]:
    """The names of those that clients can post to."""
    return [name for name, each in channels().items() if not each.backend.internal]


def channel(name: str) -> Channel:
    """Raises: KeyError where no such channel exists in the settings."""
    return channels()[name]


def _build(name: str, options: Mapping[str, Any], own: Mapping[str, Any], *, test: bool = False) -> Channel:
    if f"{name}:".startswith(MARK):
        raise ImproperlyConfigured(f'No channel can be named "{name}": it is the mark of test lanes.')
    backend_class: type[Backend] = import_string(options["backend"])
    return Channel(
        name=name,
        backend=backend_class.from_options(own),
        on_unknown=_policy(name, options.get("on_unknown")),
        batch=options["batch"],
        max_tries=options.get("max_tries"),
        optional=options.get("optional", False),
        test=test,
    )


def _policy(name: str, given: Any) -> OnUnknown:
    try:
        return OnUnknown(given)
    except ValueError:
        allowed = " or ".join(OnUnknown)
        raise ImproperlyConfigured(
            f'NOTIFIER_CHANNELS["{name}"]["on_unknown"] must be {allowed}, not {given!r}.'
        ) from None


def _forget(*, setting: str, **_: object) -> None:
    # Tests override settings; a service never does.
    if setting == "NOTIFIER_CHANNELS":
        channels.cache_clear()
        twins.cache_clear()


setting_changed.connect(_forget)
