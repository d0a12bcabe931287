"""The tags that a template may use, and how each is written out: counted, and ended where it would be too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from django.template import Node, TemplateSyntaxError
from django.template.base import NodeList, Parser, TextNode, Token
from django.template.defaulttags import ForNode, IfNode, WithNode, comment, do_for, do_if, do_with
from django.utils.safestring import SafeString

from notifications.templating.errors import MissingVariable, UnsuitableVariable
from notifications.templating.expression import Expression
from notifications.templating.filters import Unfit, escaped
from notifications.templating.scope import Scope


class Words(TextNode):
    """What stands between the tags."""

    def render(self, context: Any) -> SafeString:
        context.take(steps=1, characters=len(self.s))
        return self.s  # type: ignore[return-value]  # Django's own is no SafeString either

    render_annotated = render


class Value(Node):
    """{{ … }}"""

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def render(self, context: Any) -> SafeString:
        scope: Scope = context
        value = self._expression.resolve(scope)
        if value is None:
            raise MissingVariable(self._expression.path(scope))
        try:
            words = escaped(value, scope.escape)
        except Unfit as error:
            raise UnsuitableVariable(self._expression.path(scope), str(error)) from None
        scope.take(steps=len(words) // 1000, characters=len(words))
        return SafeString(words)


class If(IfNode):
    """{% if %}: what is missing is nothing there, and what cannot be compared or computed is not so."""

    def render(self, context: Any) -> SafeString:
        for condition, nodes in self.conditions_nodelists:
            if condition is None or _holds(condition, context):
                return nodes.render(context)
        return SafeString("")


def _holds(condition: Any, scope: Scope) -> bool:
    try:
        return bool(condition.eval(scope))
    except (MissingVariable, UnsuitableVariable):
        return False


class For(Node):
    """{% for %} over the entries of a list, the names of an object, or by two names over both sides of an object."""

    child_nodelists = ("body", "empty")

    def __init__(self, read: ForNode) -> None:
        """`read`: what Django made of the tag."""
        self.names: list[str] = list(read.loopvars)
        self.sequence = cast(Expression, read.sequence)
        self.backwards = bool(read.is_reversed)
        self.body = cast(NodeList, read.nodelist_loop)
        self.empty = cast(NodeList, read.nodelist_empty)
        # Whether its name stands for one entry of a list that was given.
        self.plain = len(self.names) == 1 and not self.sequence.filters and not self.backwards

    def render(self, context: Any) -> SafeString:
        scope: Scope = context
        values = self._values(scope)
        if not values:
            return self.empty.render(scope)
        outer = scope.get("forloop", {})
        written: list[SafeString] = []
        with scope.push() as here:
            loop = here["forloop"] = {"parentloop": outer}
            scope.loops.append((here, self.names[0] if self.plain else "", self.sequence.path(scope)))
            for place, value in enumerate(values):
                scope.take(steps=1)
                loop.update(_turn(place, len(values)))
                here.update(self._named(value, scope))
                written.append(self.body.render(scope))
            scope.loops.pop()
        return SafeString("".join(written))

    def _values(self, scope: Scope) -> list[Any]:
        match self.sequence.resolve(scope):
            case list() as values:
                pass
            case dict() as entries:
                values = [list(entry) for entry in entries.items()] if len(self.names) == 2 else list(entries)
            case None:
                raise MissingVariable(self.sequence.path(scope))
            case _:
                raise UnsuitableVariable(self.sequence.path(scope), "is no list")
        return values[::-1] if self.backwards else values

    def _named(self, value: Any, scope: Scope) -> dict[str, Any]:
        if len(self.names) == 1:
            return {self.names[0]: value}
        if not isinstance(value, list) or len(value) != len(self.names):
            detail = f"is no list of lists of {len(self.names)} each"
            raise UnsuitableVariable(self.sequence.path(scope), detail)
        return dict(zip(self.names, value, strict=True))


def _turn(place: int, total: int) -> dict[str, Any]:
    return {
        "counter": place + 1,
        "counter0": place,
        "revcounter": total - place,
        "revcounter0": total - place - 1,
        "first": place == 0,
        "last": place == total - 1,
    }


class With(WithNode):
    """{% with a=b %}"""

    def render(self, context: Any) -> SafeString:
        named = {name: expression.resolve(context) for name, expression in self.extra_context.items()}
        with context.push() as here:
            here.update(named)
            return self.nodelist.render(context)


def _if(parser: Parser, token: Token) -> Node:
    return If(do_if(parser, token).conditions_nodelists)


def _for(parser: Parser, token: Token) -> Node:
    return For(do_for(parser, token))


def _with(parser: Parser, token: Token) -> Node:
    read = do_with(parser, token)
    if any(name.startswith("_") for name in read.extra_context):
        raise TemplateSyntaxError("a name may not begin with an underscore")
    return With(None, None, read.nodelist, read.extra_context)


TAGS: Final[dict[str, Callable[[Parser, Token], Node]]] = {
    "comment": comment,
    "for": _for,
    "if": _if,
    "with": _with,
}
