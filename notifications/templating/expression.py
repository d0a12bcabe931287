"""What stands between {{ and }}, and what tags ask for: a variable or a constant, and the filters it goes through."""

from __future__ import annotations

import math
from typing import Any

from django.template import TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Variable
from django.utils.safestring import SafeData, SafeString

from notifications.templating.errors import MissingVariable, TooMuch, UnsuitableVariable
from notifications.templating.filters import ESCAPES, FILLS_IN, IN_HTML, LONGEST_VALUE, NULL, Filter, Unfit
from notifications.templating.scope import CHARACTERS_A_STEP, Scope

_NAMES = {filter_: name for name, filter_ in IN_HTML.items()}
# What Django's filters raise for a value or an argument that they cannot use.
_MISUSE = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


class Expression(FilterExpression):
    """Django's, read by Django; looked up and computed here, where nothing fails in silence."""

    def __init__(self, token: str, parser: Parser) -> None:
        super().__init__(token, parser)
        self._start = _operand(self.var)
        self._steps = [(filter_, [_operand(argument) for _, argument in given]) for filter_, given in self.filters]

    def resolve(self, context: Any, ignore_failures: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's
        """The value; `ignore_failures` (Django's word for a condition): None where a variable is missing.

        Raises: MissingVariable, UnsuitableVariable, TooMuch.
        """
        scope: Scope = context
        scope.take(steps=1)
        try:
            return self._computed(scope)
        except MissingVariable:
            if ignore_failures:
                return None
            raise

    def path(self, scope: Scope) -> str:
        """The name of its variable; "" of a constant."""
        return scope.named(self._start) if isinstance(self._start, tuple) else ""

    def _computed(self, scope: Scope) -> Any:
        value = self._first(scope)
        for filter_, given in self._steps:
            if value is None and filter_ not in NULL:
                raise MissingVariable(self.path(scope))
            arguments = [_value(argument, scope) for argument in given]
            scope.take(steps=1 + (len(value) // CHARACTERS_A_STEP if isinstance(value, str | list) else 0))
            value = self._filtered(filter_, value, arguments, scope)
        return value

    def _first(self, scope: Scope) -> Any:
        try:
            return _value(self._start, scope)
        except MissingVariable:
            if self._steps and self._steps[0][0] in FILLS_IN:
                return None
            raise

    def _filtered(self, filter_: Filter, value: Any, arguments: list[Any], scope: Scope) -> Any:
        options: dict[str, Any] = {}
        if filter_ in ESCAPES:
            options["escape"] = scope.escape
        if getattr(filter_, "needs_autoescape", False):
            options["autoescape"] = scope.autoescape
        try:
            made = filter_(value, *arguments, **options)
        except Unfit as error:
            raise UnsuitableVariable(self.path(scope), str(error)) from None
        except _MISUSE:
            raise UnsuitableVariable(self.path(scope), f"cannot be used with {_NAMES[filter_]} as it is here") from None
        if isinstance(made, str) and len(made) > LONGEST_VALUE:
            raise TooMuch("comes to too long a text")
        keeps = getattr(filter_, "is_safe", False) and isinstance(value, SafeData) and isinstance(made, str)
        return SafeString(made) if keeps else made


# Constants are the author's own words, which Django marks as safe; variables are their names.
_Operand = tuple[str, ...] | str | int | float


def _operand(given: Any) -> _Operand:
    """Raises: TemplateSyntaxError."""
    if isinstance(given, Variable):
        if given.translate:
            raise TemplateSyntaxError("texts are not translated here: leave _( ) out")
        if given.lookups is not None:
            if not all(given.lookups):
                raise TemplateSyntaxError(f"{given.var} ends in the middle of a name")
            return tuple(given.lookups)
        given = given.literal
    if isinstance(given, float) and not math.isfinite(given):
        raise TemplateSyntaxError("this number is too large")
    if not isinstance(given, str | int | float):  # a text that waits for its translation
        raise TemplateSyntaxError("texts are not translated here: leave _( ) out")
    return given


def _value(operand: _Operand, scope: Scope) -> Any:
    return scope.look_up(operand) if isinstance(operand, tuple) else operand
