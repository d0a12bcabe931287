"""Templates are kept as versions: what was sent can be read later, and a version that was tried can be gone back to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from channels.contract import Unacceptable
from channels.registry import channels, open_channels
from channels.rules import Subject
from channels.text import UNSTORABLE
from notifications import templating
from notifications.intake import Problem, Refused
from notifications.models import Template, TemplateVersion
from notifications.services.rendering import PARTS, VARIABLES_LIMIT, compiled_bodies, plain, write
from notifications.templating import Allowance, WrongTemplate

NOTE_LIMIT: Final = 1000  # characters

Sources = Mapping[str, Mapping[str, str]]  # by channel and part


def add_template_version(
    template: Template,
    bodies: Sources,
    *,
    example: Mapping[str, Any] | None = None,
    note: str = "",
    created_by: str,
) -> TemplateVersion:
    """Make the next version, which is the current one from now on; what is empty of `bodies` is left out.

    Raises: Refused, naming each part as `email.subject`; nothing was stored.
    """
    kept = normal_bodies(bodies)
    example = {} if example is None else example
    if problems := [*wrong_bodies(kept), *_wrong_example(example), *_wrong_note(note)]:
        raise Refused(*problems)
    with transaction.atomic():
        # Of two that do this at once the second waits: numbers have no gaps, and the later one is the current one.
        locked = Template.objects.select_for_update().get(pk=template.pk)
        newest = locked.versions.order_by("-number").values_list("number", flat=True).first() or 0
        version = TemplateVersion.objects.create(
            template=template, number=newest + 1, bodies=kept, example=example, note=note, created_by=created_by
        )
        Template.objects.filter(pk=template.pk).update(current=version.number)
    template.current = version.number
    return version


def use_template_version(version: TemplateVersion) -> None:
    """Make it the one of requests that name none. Safe to repeat."""
    Template.objects.filter(pk=version.template_id).update(current=version.number)


def preview_template(bodies: Sources, channel: str, variables: Mapping[str, Any]) -> dict[str, str]:
    """What a notification over this channel would say: its parts. Nothing is stored.

    Raises: Refused, as `add_template_version` and `accept`.
    """
    kept = normal_bodies(bodies)
    if problems := wrong_bodies(kept):
        raise Refused(*problems)
    if channel not in kept:
        raise Refused(Problem("template", "not_for_channel", f"has no text for the channel {channel}"))
    known = channels()[channel]
    texts = write(compiled_bodies(kept)[channel], plain(variables), known, Allowance())
    try:
        known.backend.validate(to="", subject=texts.get("subject", ""), body=texts["message"])
    except Unacceptable as error:
        if error.field != "to":  # which nobody was asked for, and every channel looks at last
            raise Refused(Problem(error.field, error.code, error.detail)) from None
    return texts


def normal_bodies(bodies: Sources) -> dict[str, dict[str, str]]:
    """Without what is empty, lines ended as everywhere, and no empty ones at the end: editors differ in these."""
    kept: dict[str, dict[str, str]] = {}
    for channel, body in bodies.items():
        parts = {name: source.replace("\r\n", "\n").rstrip() for name, source in body.items()}
        if filled := {name: source for name, source in parts.items() if source}:
            kept[channel] = filled
    return kept


def wrong_bodies(bodies: Sources) -> list[Problem]:
    """All that is to be mended."""
    if not bodies:
        return [Problem("bodies", "required", "are needed, for one channel at least")]
    problems: list[Problem] = []
    for channel, body in bodies.items():
        if channel not in open_channels():
            problems.append(Problem(channel, "unknown_channel", f"must be one of {', '.join(open_channels())}"))
            continue
        problems += [
            Problem(f"{channel}.{part}", "unknown_field", f"must be one of {', '.join(PARTS)}")
            for part in body
            if part not in PARTS
        ]
        if "message" not in body:
            problems.append(Problem(f"{channel}.message", "required", "is needed: every message has a text"))
        if "subject" in body and not has_subject(channel):
            problems.append(Problem(f"{channel}.subject", "not_supported", "is nothing that this channel has"))
        if "subject" not in body and _needs_subject(channel):
            problems.append(Problem(f"{channel}.subject", "required", "is needed: this channel sends nothing without"))
        problems += _wrong_sources(channel, body)
    return problems


def has_subject(channel: str) -> bool:
    """Whether it may be that this channel has one; that it may be so is also true of a channel without rules."""
    rules = channels()[channel].backend.rules()
    return rules is None or rules.subject is not Subject.NONE


def _needs_subject(channel: str) -> bool:
    rules = channels()[channel].backend.rules()
    return rules is not None and rules.subject is Subject.REQUIRED


def _wrong_sources(channel: str, body: Mapping[str, str]) -> list[Problem]:
    problems: list[Problem] = []
    for part, source in body.items():
        if part == "subject" and "\n" in source:
            problems.append(Problem(f"{channel}.subject", "invalid_characters", "must be one line"))
        try:
            templating.compiled(source, html=part == "html")
        except WrongTemplate as error:
            problems.append(Problem(f"{channel}.{part}", "invalid_template", f"cannot be read: {error}"))
    return problems


def _wrong_example(example: Any) -> list[Problem]:
    try:
        written = json.dumps(example, ensure_ascii=False, allow_nan=False)
        size = len(written.encode())
    except (TypeError, ValueError, RecursionError):
        return [Problem("example", "invalid", "must be an object of what JSON has")]
    if not isinstance(example, Mapping):
        return [Problem("example", "invalid", "must be an object")]
    if size > VARIABLES_LIMIT:
        return [Problem("example", "max_length", f"may have {VARIABLES_LIMIT} bytes at most, as JSON")]
    if "\\u0000" in written:
        return [Problem("example", "invalid_characters", "holds a NUL")]
    return []


def _wrong_note(note: str) -> list[Problem]:
    if len(note) > NOTE_LIMIT:
        return [Problem("note", "max_length", f"may have {NOTE_LIMIT} characters at most")]
    return [Problem("note", "invalid_characters", "holds a NUL")] if UNSTORABLE.search(note) else []
