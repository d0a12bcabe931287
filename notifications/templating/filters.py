"""The filters that a template may use: of Django's those that can neither fill the memory nor reach into an object.

A filter sees plain JSON: texts, numbers, booleans, null, lists, objects. `safe` and its kin are not among them: what is
a variable is escaped, always. Nor is what depends on the moment, or on the language of whoever happens to send.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Any, Final

from django.template import defaultfilters
from django.utils import dateformat
from django.utils.safestring import SafeData, SafeString

from notifications.templating.errors import TooMuch

LONGEST_VALUE: Final = 256 * 1024  # characters of what a filter makes: as long as the longest message of any channel
MOST_DIGITS: Final = 200  # of a number that is written out: Django's own bound

# Of floatformat's argument: "2", "-2"; with g for 1,234.50. More than twenty places would be a way to fill the memory.
_PLACES: Final = re.compile(r"-?(?:1?\d|20)?g?")

Escape = Callable[[str], str]
Filter = Callable[..., Any]


class Unfit(ValueError):
    """Raised when a value is not of the kind that is needed; the text goes on from the value's name: "is a list"."""


def text(value: Any) -> str:
    """A value as it is written: JSON's own spelling. Raises: Unfit for what has none that a reader would want."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list():
            raise Unfit("is a list: say how to write it, by for or join")
        case dict():
            raise Unfit("is an object: name what of it is to be written")
        case _:
            raise Unfit("is null")


def escaped(value: Any, escape: Escape) -> str:
    """A value as it stands in the message; what the template's author wrote is taken as it is."""
    words = text(value)
    return words if isinstance(words, SafeData) else escape(words)


def _of_texts(plain: Filter) -> Filter:
    @wraps(plain)
    def filtered(value: Any, *given: Any, **options: Any) -> Any:
        return plain(text(value), *given, **options)

    return filtered


def _join(value: Any, separator: Any = ", ", *, escape: Escape) -> SafeString:
    """The entries of a list with something between them."""
    if not isinstance(value, list):
        raise Unfit("is no list")
    between = escaped(separator, escape)
    if len(between) * len(value) > LONGEST_VALUE:
        raise TooMuch("a list is joined to too long a text")
    return SafeString(between.join(escaped(each, escape) for each in value))


def _date(value: Any, form: Any = "j F Y") -> str:
    """An ISO 8601 date or time, in the offset that it has, by the letters of Django's date filter."""
    if not isinstance(value, str):
        raise Unfit("is no date")
    try:
        moment = date.fromisoformat(value)
    except ValueError:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise Unfit("is no date such as 2030-01-31 or 2030-01-31T09:30:00+01:00") from None
    return dateformat.format(moment, text(form))


def _floatformat(value: Any, places: Any = "-1") -> str:
    """A number with so many decimal places."""
    try:
        number = Decimal(text(value))
    except InvalidOperation:
        raise Unfit("is no number") from None
    shape = number.as_tuple()
    if not number.is_finite() or len(shape.digits) + abs(int(shape.exponent)) > MOST_DIGITS:
        raise Unfit("is no number that can be written out")
    wanted = text(places)
    if not _PLACES.fullmatch(wanted):
        raise Unfit("cannot be written with so many places: floatformat takes -20 to 20, and g for groups of digits")
    return str(defaultfilters.floatformat(text(value), wanted or "-1"))


def _length(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise Unfit("has no length")
    return len(value)


def _first(value: Any) -> Any:
    return _entry(value, 0)


def _last(value: Any) -> Any:
    return _entry(value, -1)


def _entry(value: Any, place: int) -> Any:
    if not isinstance(value, list) or not value:
        raise Unfit("is no list with anything in it")
    return value[place]


# By the names under which templates know them. With a value of None work those of NULL alone.
ANYWHERE: Final[dict[str, Filter]] = {
    "capfirst": _of_texts(defaultfilters.capfirst),
    "date": _date,
    "default": defaultfilters.default,
    "default_if_none": defaultfilters.default_if_none,
    "first": _first,
    "floatformat": _floatformat,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": _of_texts(defaultfilters.lower),
    "pluralize": defaultfilters.pluralize,
    "title": _of_texts(defaultfilters.title),
    "truncatechars": _of_texts(defaultfilters.truncatechars),
    "truncatewords": _of_texts(defaultfilters.truncatewords),
    "upper": _of_texts(defaultfilters.upper),
    "urlencode": _of_texts(defaultfilters.urlencode),
    "yesno": defaultfilters.yesno,
}
IN_HTML: Final[dict[str, Filter]] = {
    **ANYWHERE,
    "linebreaks": _of_texts(defaultfilters.linebreaks_filter),
    "linebreaksbr": _of_texts(defaultfilters.linebreaksbr),
}
NULL: Final = frozenset({ANYWHERE["default"], ANYWHERE["default_if_none"], ANYWHERE["yesno"]})
FILLS_IN: Final = NULL - {ANYWHERE["yesno"]}  # what is missing, where it comes first
ESCAPES: Final = frozenset({_join})  # by itself, so it is told how
