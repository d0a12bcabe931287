"""Why a text is no template, and why a template cannot be written out. No error repeats a variable's value."""

from __future__ import annotations


class WrongTemplate(Exception):
    """Raised when a text is no template, or one of those that are not allowed here."""

    def __init__(self, detail: str, *, line: int | None = None, tag: str = "") -> None:
        where = f"line {line}: " if line else ""
        super().__init__(f"{where}{detail}" + (f" (in {tag})" if tag else ""))
        self.line = line  # from 1; None where it is of the whole
        self.tag = tag  # as it stands in the source
        self.detail = detail


class MissingVariable(Exception):
    """Raised when a template asks for a variable that was not given, or is null where a text is needed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing")
        self.name = name  # `order.lines[2].price`


class UnsuitableVariable(Exception):
    """Raised when a variable is not of the kind that the template needs there."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} {detail}")
        self.name = name
        self.detail = detail


class TooMuch(Exception):
    """Raised when writing a template out would take too long, or make too long a text."""
