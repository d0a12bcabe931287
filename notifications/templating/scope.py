"""What a template sees while it is written out: the variables that were given, and what its own tags name.

A look-up goes from member to member of plain JSON. Nothing is called, and no attribute of a Python object is reached:
`{{ name.upper }}` is a variable that was not given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.template import Context
from django.template.context import ContextDict

from notifications.templating.errors import MissingVariable, TooMuch
from notifications.templating.filters import Escape

# A mail with a table of two hundred lines takes about three thousand; this many take a quarter of a second at worst.
MOST_STEPS: Final = 20_000
MOST_WRITTEN: Final = 512 * 1024  # characters, of all that one notification has: its text and its HTML
# Of a batch: as much as its body may have, and seconds at worst, where a thousand of the above were minutes.
MOST_STEPS_IN_BATCH: Final = 500_000
MOST_WRITTEN_IN_BATCH: Final = 8 * 1024 * 1024
CHARACTERS_A_STEP: Final = 100  # what a filter does with a long text costs as many steps as it has hundreds


@dataclass(slots=True)
class Allowance:
    """What may still be spent on writing templates out; used by one thread."""

    steps: int = MOST_STEPS
    characters: int = MOST_WRITTEN

    def part(self) -> Allowance:
        """For one notification out of many."""
        return Allowance(min(self.steps, MOST_STEPS), min(self.characters, MOST_WRITTEN))

    def take(self, *, steps: int = 0, characters: int = 0) -> None:
        """Raises: TooMuch."""
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0:
            raise TooMuch("takes too many steps to write out")
        if self.characters < 0:
            raise TooMuch("comes to too long a text")


class Scope(Context):
    """Django's stack of names, of which Django itself looks nothing up."""

    def __init__(self, variables: Mapping[str, Any], *, escape: Escape, html: bool, allowance: Allowance) -> None:
        super().__init__(dict(variables), autoescape=html, use_l10n=False, use_tz=False)
        self.escape = escape
        self.take = allowance.take
        self.loops: list[tuple[ContextDict, str, str]] = []  # what a loop names, the name, and whence it comes

    def look_up(self, names: Sequence[str]) -> Any:
        """Raises: MissingVariable."""
        value: Any = self
        for name in names:
            match value:
                case Scope():
                    found = next((names_here for names_here in value if name in names_here), None)
                    if found is None:
                        raise MissingVariable(self.named(names))
                    value = found[name]
                case dict() if name in value:
                    value = value[name]
                case list() if name.isascii() and name.isdigit() and len(name) < 6 and int(name) < len(value):
                    value = value[int(name)]
                case _:
                    raise MissingVariable(self.named(names))
        return value

    def named(self, names: Sequence[str]) -> str:
        """The variable as whoever gave it knows it: of a loop's `line` in the third turn `lines[2]`."""
        first = names[0]
        holder = next((names_here for names_here in self if first in names_here), None)
        for scope, name, origin in reversed(self.loops):
            if scope is holder and name == first:
                first = f"{origin}[{scope['forloop']['counter0']}]"
                break
        return ".".join([first, *names[1:]])
