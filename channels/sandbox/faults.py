"""Faults on demand: what a provider does instead of taking a message and saying so at once."""

from __future__ import annotations

import enum
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

CHANNELS = ("slack", "sms", "email")


class Kind(enum.StrEnum):
    LATENCY = "latency"  # take it at once, answer after `latency_ms`
    # Refuse it with `status` (email: the reply code, at `stage`), `retry_after` and `body`; it is taken where `taken`.
    STATUS = "status"
    DROP_BEFORE = "drop_before"  # close the connection; the message is not taken
    DROP_AFTER = "drop_after"  # take the message, close the connection without a word
    HANG = "hang"  # say nothing and keep the connection open; the message is taken where `taken`
    DRIP = "drip"  # take the message, answer a byte each `drip_ms`


class Stage(enum.StrEnum):
    """Where in a mail's conversation a `status` is given."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # instead of 354
    MESSAGE = "message"  # after the final dot


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: Kind
    latency_ms: int = 0  # before whatever the kind does
    status: int = 503
    retry_after: str = ""  # seconds or an HTTP date
    body: str = ""  # instead of the provider's own words
    stage: Stage = Stage.RCPT
    taken: bool = False  # a hang or a status that lies: the message is taken all the same
    drip_ms: int = 200
    times: int | None = None  # how often, then never again; None for always
    probability: float = 1.0
    to: str = ""  # only for this recipient (Slack: the last part of the webhook's path)

    @property
    def takes(self) -> bool:
        """Whether the message is taken in spite of it."""
        if self.kind in {Kind.HANG, Kind.STATUS}:
            return self.taken
        return self.kind is not Kind.DROP_BEFORE

    @classmethod
    def parse(cls, given: object) -> Fault:
        """Raises: ValueError, naming the field."""
        if not isinstance(given, dict):
            raise ValueError("a fault is an object with at least a kind")  # noqa: TRY004 - one kind of error
        if unknown := set(given) - {field.name for field in fields(cls)}:
            raise ValueError(f"a fault has no field {min(unknown)!r}")
        known = {**given, "kind": Kind(given.get("kind", "")), "stage": Stage(given.get("stage", "rcpt"))}
        for name, (kinds, words) in _TYPES.items():
            if name in known and type(known[name]) not in kinds:
                raise ValueError(f"{name} must be {words}")
        fault = cls(**known)
        if not 0 < fault.probability <= 1:
            raise ValueError("probability must be above 0 and at most 1")
        if not 100 <= fault.status <= 599:
            raise ValueError("status must be from 100 to 599")
        if min(fault.latency_ms, fault.drip_ms, fault.times or 0) < 0:
            raise ValueError("latency_ms, drip_ms and times cannot be negative")
        for line in (fault.retry_after, fault.body):
            if not (line.isascii() and line.isprintable()):
                raise ValueError("retry_after and body must be one line of ASCII")
        return fault


# By type, not isinstance: True is no number of milliseconds.
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "latency_ms": ((int,), "a whole number"),
    "status": ((int,), "a whole number"),
    "drip_ms": ((int,), "a whole number"),
    "times": ((int, type(None)), "a whole number, or null for always"),
    "probability": ((int, float), "a number"),
    "taken": ((bool,), "true or false"),
    "retry_after": ((str,), "a text"),
    "body": ((str,), "a text"),
    "to": ((str,), "a text"),
}


@dataclass(slots=True)
class _InForce:
    fault: Fault
    befell: int = 0

    def befalls(self, to: str, *, at_sender: bool) -> bool:
        fault = self.fault
        return (
            at_sender == (fault.kind is Kind.STATUS and fault.stage is Stage.MAIL)
            and fault.to in {"", to}
            and (fault.times is None or self.befell < fault.times)
            and (fault.probability >= 1 or random.random() < fault.probability)
        )


class Faults:
    """The faults in force, by channel; the first that fits a message befalls it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_force: dict[str, list[_InForce]] = {}

    def set(self, channel: str, *faults: Fault) -> None:
        """Replace one channel's faults; none given means none. Raises: ValueError for no such channel."""
        _require_channels(channel)
        with self._lock:
            self._in_force[channel] = [_InForce(fault) for fault in faults]

    def replace(self, faults: Mapping[str, Sequence[Fault]]) -> None:
        """Replace the faults of all channels. Raises: ValueError for no such channel."""
        _require_channels(*faults)
        with self._lock:
            self._in_force = {channel: [_InForce(fault) for fault in chosen] for channel, chosen in faults.items()}

    def clear(self) -> None:
        with self._lock:
            self._in_force.clear()

    def pick(self, channel: str, to: str, *, at_sender: bool = False) -> Fault | None:
        """The fault that befalls this message now; `at_sender` before an email's recipient is known."""
        if not self._in_force.get(channel):
            return None
        with self._lock:
            for chosen in self._in_force.get(channel, ()):
                if chosen.befalls(to, at_sender=at_sender):
                    chosen.befell += 1
                    return chosen.fault
        return None

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """What is in force, each with how many messages it `befell`."""
        with self._lock:
            return {
                channel: [{**asdict(chosen.fault), "befell": chosen.befell} for chosen in faults]
                for channel, faults in self._in_force.items()
                if faults
            }


def _require_channels(*names: str) -> None:
    if unknown := set(names) - set(CHANNELS):
        raise ValueError(f"the channels are {', '.join(CHANNELS)}, not {min(unknown)!r}")
