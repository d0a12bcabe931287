"""How many messages a provider takes in a time, as the settings say it: `1/s`, `100/m`.

This module is read with the settings, before Django is set up: it imports the standard library alone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}  # seconds
NONE: Final = frozenset({"", "off"})
FORM: Final = re.compile(r"([1-9][0-9]{0,5})/([smh])")


class Rate(NamedTuple):
    """So many in each unit of time, evenly, with a second's worth at once at the most."""

    messages: int
    unit: str

    @property
    def interval(self) -> float:
        """Seconds from one message to the next."""
        return UNITS[self.unit] / self.messages

    @property
    def burst(self) -> int:
        """How many may go at once after a time of rest."""
        return max(1, int(1 / self.interval))

    def __str__(self) -> str:
        return f"{self.messages}/{self.unit}"


def parse(text: str) -> Rate | None:
    """None for no limit. Raises: ValueError, saying what a rate looks like."""
    if text in NONE:
        return None
    found = FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a number of messages and s, m or h, such as 1/s or 100/m; or off; not {text!r}")
    return Rate(int(found[1]), found[2])
