"""Templates: Django's language, cut down to what can neither reach beyond the variables given nor run away.

    compiled("Hello {{ name|default:'you' }}").render({"name": "Ann"}, escape=str)

Pure: no database, no files, no settings but those of Django's formats, and these always in English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NoReturn

from django.template import Engine, Library, Template, TemplateSyntaxError
from django.template.base import Lexer, Node, NodeList, Parser, TextNode, Token, TokenType, VariableNode
from django.utils import translation

from channels.text import UNSTORABLE
from notifications.templating.errors import MissingVariable, TooMuch, UnsuitableVariable, WrongTemplate
from notifications.templating.expression import Expression
from notifications.templating.filters import ANYWHERE, IN_HTML, Escape
from notifications.templating.nodes import TAGS, Value, Words
from notifications.templating.scope import MOST_STEPS_IN_BATCH, MOST_WRITTEN_IN_BATCH, Allowance, Scope

__all__ = [
    "MOST_STEPS_IN_BATCH",
    "MOST_WRITTEN_IN_BATCH",
    "NAME",
    "Allowance",
    "Compiled",
    "MissingVariable",
    "TooMuch",
    "UnsuitableVariable",
    "WrongTemplate",
    "compiled",
]

NAME: Final = r"[a-z0-9][a-z0-9._-]{0,99}"  # of a template: no @, which stands before the number of its version
LONGEST_SOURCE: Final = 128 * 1024  # characters: half of the longest mail; what is longer is hardly written by hand
MOST_TAGS: Final = 1000
MOST_WORDS: Final = 50  # in one tag: a condition is computed recursively
DEEPEST: Final = 20  # tags within tags
_TRANSLATED: Final = re.compile(r"(?:^|\s)_\(['\"]")
LANGUAGE: Final = "en"  # of months and of the points in numbers: the same whoever's thread writes them


class Compiled:
    """A text or HTML that was read once; shared by threads."""

    def __init__(self, template: Template, *, html: bool) -> None:
        self._template = template
        self._html = html

    def render(self, variables: Mapping[str, Any], *, escape: Escape, allowance: Allowance | None = None) -> str:
        """The template with plain JSON's values in it, each escaped.

        Raises: MissingVariable, UnsuitableVariable, TooMuch.
        """
        scope = Scope(variables, escape=escape, html=self._html, allowance=allowance or Allowance())
        with translation.override(LANGUAGE):
            written = "".join((self._template.render(scope),))  # no longer Django's kind of text, which marks as safe
        if UNSTORABLE.search(written):
            raise UnsuitableVariable("", "hold a NUL or half of a surrogate pair")
        return written


def compiled(source: str, *, html: bool = False) -> Compiled:
    """Read a template. Raises: WrongTemplate, with the line and the tag."""
    if len(source) > LONGEST_SOURCE:
        raise WrongTemplate(f"may have {LONGEST_SOURCE} characters at most, not {len(source)}")
    if UNSTORABLE.search(source):
        raise WrongTemplate("holds a NUL or half of a surrogate pair")
    # Counted before Django looks for their ends: sixty thousand that have none would take it a minute and a half.
    if sum(source.count(opening) for opening in ("{{", "{%", "{#")) > MOST_TAGS:
        raise WrongTemplate(f"there are more than {MOST_TAGS} tags")
    try:
        return Compiled(_Template(source, engine=_ENGINES[html]), html=html)
    except (TemplateSyntaxError, ValueError) as error:
        token: Token | None = getattr(error, "token", None)
        raise WrongTemplate(
            str(error), line=token.lineno if token else None, tag=_as_written(token) if token else ""
        ) from None


def _as_written(token: Token) -> str:
    contents = token.contents if len(token.contents) < 60 else f"{token.contents[:60]}…"
    return f"{{{{ {contents} }}}}" if token.token_type is TokenType.VAR else f"{{% {contents} %}}"


class _Parser(Parser):
    """Django's, with our own expressions and nodes in the place of Django's."""

    def parse(self, parse_until: Any = None) -> NodeList:
        if len(self.command_stack) > DEEPEST:
            raise TemplateSyntaxError(f"tags are nested deeper than {DEEPEST}")
        return super().parse(parse_until)

    def extend_nodelist(self, nodelist: NodeList, node: Node, token: Token) -> None:
        if isinstance(node, TextNode):
            node = Words(node.s)
        elif isinstance(node, VariableNode):
            node = Value(node.filter_expression)  # type: ignore[arg-type]  # of our own compile_filter
        super().extend_nodelist(nodelist, node, token)

    def compile_filter(self, token: str) -> Expression:
        return Expression(token, self)

    def find_filter(self, filter_name: str) -> Any:
        if filter_name not in self.filters:
            raise TemplateSyntaxError(f"there is no filter {filter_name} here")
        return self.filters[filter_name]

    def invalid_block_tag(self, token: Token, command: str, parse_until: Any = None) -> NoReturn:
        expected = f": {', '.join(parse_until)} is expected" if parse_until else ""
        raise self.error(token, f"there is no tag {command} here{expected}")

    def unclosed_block_tag(self, parse_until: Any) -> NoReturn:
        command, token = self.command_stack.pop()
        raise self.error(token, f"{command} has no {parse_until[-1]}")


class _Template(Template):
    def compile_nodelist(self) -> NodeList:
        tokens = Lexer(self.source).tokenize()
        tags = [token for token in tokens if token.token_type is not TokenType.TEXT]
        parser = _Parser(tokens, builtins=self.engine.template_builtins)
        for token in tags:
            if token.token_type is TokenType.BLOCK and len(token.contents.split()) > MOST_WORDS:
                raise parser.error(token, f"a tag has more than {MOST_WORDS} words")
            if _TRANSLATED.search(token.contents):  # on which Django's own splitting can stumble
                raise parser.error(token, "texts are not translated here: leave _( ) out")
        return parser.parse()


class _Engine(Engine):
    """One that loads nothing, and knows no tag and no filter but those given."""

    default_builtins: ClassVar[list[str]] = []

    def __init__(self, library: Library) -> None:
        super().__init__(loaders=[])
        self.template_builtins = [library]


def _library(filters: Mapping[str, Any]) -> Library:
    library = Library()
    library.tags.update(TAGS)
    library.filters.update(filters)
    return library


_ENGINES: Final = {False: _Engine(_library(ANYWHERE)), True: _Engine(_library(IN_HTML))}
