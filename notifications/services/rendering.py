"""A request by template becomes one with texts. What a version says never changes, so it is read and compiled once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from django.db import Error as DatabaseError
from django.utils.html import escape

from channels.registry import Channel, channels
from notifications import selectors, templating
from notifications.intake import NotificationRequest, Problem, Refused
from notifications.models import TemplateVersion
from notifications.services.errors import translated
from notifications.templating import NAME, Allowance, Compiled

VARIABLES_LIMIT: Final = 16 * 1024  # bytes of their JSON: what a message says, not a document
TRUSTED_FOR: Final = 1.0  # seconds: another version is used, and a template is gone, that much later at most
MOST_KNOWN: Final = 1000  # names, and versions, remembered by one process
PARTS: Final = ("subject", "message", "html")

Bodies = Mapping[str, Mapping[str, Compiled]]  # by channel and part


@dataclass(frozen=True, slots=True)
class _Version:
    label: str  # order-shipped@3
    bodies: Bodies


# Shared by threads without a lock: two that ask at once learn the same.
_known: dict[tuple[str, int | None], tuple[_Version, float]] = {}
_compiled: dict[int, _Version] = {}


def rendered(request: NotificationRequest, allowance: Allowance) -> NotificationRequest:
    """The same with the template's texts, and as its template `order-shipped@3`.

    Raises: Refused, naming `template`, `template_version`, `variables` or one of them; Unavailable.
    """
    known = channels().get(request.channel)
    if known is None or known.backend.internal:
        return request  # which is refused for its channel
    if problems := _misplaced(request):
        raise Refused(*problems)
    variables = plain({} if request.variables is None else request.variables)
    version = _version(request.template, request.template_version)
    body = version.bodies.get(known.name)
    if body is None:
        raise Refused(Problem("template", "not_for_channel", f"has no text for the channel {known.name}"))
    texts = write(body, variables, known, allowance)
    request = replace(request, subject=texts.get("subject", ""), message=texts["message"], template=version.label)
    return replace(request, content={**request.content, "html": texts["html"]}) if "html" in texts else request


def write(
    body: Mapping[str, Compiled], variables: Mapping[str, Any], channel: Channel, allowance: Allowance
) -> dict[str, str]:
    """The parts of a body written out. Raises: Refused, naming every variable that is missing or unsuitable."""
    part = allowance.part()
    steps, characters = part.steps, part.characters
    texts: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for name, compiled in body.items():
        # A subject is no place for markup, whatever the channel's message is.
        escaping = {"html": _html_escape, "message": channel.backend.escape}.get(name, str)
        try:
            texts[name] = compiled.render(variables, escape=escaping, allowance=part)
        except templating.MissingVariable as error:
            field = f"variables.{error.name}"
            problems.setdefault(field, Problem(field, "missing_variable", "is asked for by the template"))
        except templating.UnsuitableVariable as error:
            field = f"variables.{error.name}" if error.name else "variables"
            problems.setdefault(field, Problem(field, "unsuitable_variable", error.detail))
        except templating.TooMuch as error:
            raise Refused(Problem("template", "too_much", f"{error}, with these variables")) from None
    if problems:
        raise Refused(*problems.values())
    try:
        allowance.take(steps=steps - part.steps, characters=characters - part.characters)
    except templating.TooMuch as error:
        raise Refused(Problem("template", "too_much", f"{error}, with all before it: send fewer at once")) from None
    return texts


def compiled_bodies(bodies: Mapping[str, Mapping[str, str]]) -> Bodies:
    """Raises: WrongTemplate."""
    return {
        channel: {part: templating.compiled(body[part], html=part == "html") for part in PARTS if part in body}
        for channel, body in bodies.items()
    }


def _html_escape(words: str) -> str:
    return str(escape(words))


def _misplaced(request: NotificationRequest) -> list[Problem]:
    if not request.template:
        given = [("variables", request.variables), ("template_version", request.template_version)]
        names = [name for name, value in given if value is not None]
        return [Problem(name, "without_template", "is of a template, and none is named") for name in names]
    written = [
        ("message", request.message),
        ("subject", request.subject),
        ("content.html", request.content.get("html")),
    ]
    names = [name for name, value in written if value]
    return [Problem(name, "with_template", "is written by the template: leave it out") for name in names]


def plain(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON, whatever objects a caller in this process gave. Raises: Refused."""
    invalid = Refused(Problem("variables", "invalid", "must be an object of what JSON has"))
    if not isinstance(variables, Mapping):
        raise invalid
    try:
        written = json.dumps(dict(variables), ensure_ascii=False, allow_nan=False, sort_keys=True)
        size = len(written.encode())
    except (TypeError, ValueError, RecursionError):
        raise invalid from None
    if size > VARIABLES_LIMIT:
        raise Refused(Problem("variables", "max_length", f"may have {VARIABLES_LIMIT} bytes at most, as JSON"))
    read: dict[str, Any] = json.loads(written)
    return read


def _version(name: str, number: int | None) -> _Version:
    """Raises: Refused, Unavailable."""
    if not re.fullmatch(NAME, name):
        raise _unknown()
    if number is not None and not 0 < number < 2**31:
        raise _unknown_version()
    known = _known.get((name, number))
    asked = monotonic()
    if known is not None and asked < known[1]:
        return known[0]
    try:
        version = _read(selectors.template_version(name, number))
    except TemplateVersion.DoesNotExist:
        if number is not None and selectors.template_exists(name):
            raise _unknown_version() from None
        raise _unknown() from None
    except DatabaseError as error:
        raise translated(error) from error
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[name, number] = version, asked + TRUSTED_FOR
    return version


def _unknown() -> Refused:
    return Refused(Problem("template", "unknown_template", "is no template of this service"))


def _unknown_version() -> Refused:
    return Refused(Problem("template_version", "unknown_version", "is none of this template's"))


def _read(stored: TemplateVersion) -> _Version:
    """Raises: Refused."""
    found = _compiled.get(stored.pk)
    if found is None:
        try:
            found = _Version(str(stored), compiled_bodies(stored.bodies))
        except templating.WrongTemplate as error:  # of an earlier version of this service, which allowed more
            raise Refused(Problem("template", "invalid_template", f"cannot be used: {error}")) from None
        if len(_compiled) >= MOST_KNOWN:
            _compiled.clear()
        _compiled[stored.pk] = found
    return found
