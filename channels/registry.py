"""The channels of this installation, built once from settings.NOTIFIER_CHANNELS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from channels.contract import Backend, OnUnknown


@dataclass(frozen=True, slots=True)
class Channel:
    """A medium and how this installation sends over it."""

    name: str
    backend: Backend
    on_unknown: OnUnknown
    batch: int  # notifications claimed at a time by one thread
    max_tries: int | None = None  # None for the service's own number

    def lane(self, to: str) -> str:
        """The lane of a (validated) recipient: the channel, or `channel:destination`."""
        destination = self.backend.destination(to)
        return f"{self.name}:{destination}" if destination else self.name


def channel_of(lane: str) -> str:
    """The channel's name in a lane's name."""
    return lane.partition(":")[0]


@cache
def channels() -> Mapping[str, Channel]:
    """Every channel by name, in the order of the settings.

    Raises: ImproperlyConfigured where an entry has no policy for unknown outcomes: none is guessed.
    """
    return {name: _build(name, options) for name, options in settings.NOTIFIER_CHANNELS.items()}


def channel(name: str) -> Channel:
    """Raises: KeyError where no such channel exists in the settings."""
    return channels()[name]


def _build(name: str, options: Mapping[str, Any]) -> Channel:
    backend_class: type[Backend] = import_string(options["backend"])
    return Channel(
        name=name,
        backend=backend_class.from_options(options),
        on_unknown=_policy(name, options.get("on_unknown")),
        batch=options["batch"],
        max_tries=options.get("max_tries"),
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


setting_changed.connect(_forget)
