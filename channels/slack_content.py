"""What a Slack message may have beyond its text: Block Kit's blocks, and attachments. Passed through as they are.

Sizes and shapes alone are looked at, so that most of what Slack would refuse is told to whoever asks, at once; what a
block means, and which kinds there are, is Slack's own to say.
https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from channels import text
from channels.contract import Content, Unacceptable

NAMES: Final = frozenset({"blocks", "attachments"})
BLOCKS_LIMIT: Final = 50
BLOCK_ID_LIMIT: Final = 255  # characters
TYPE_LIMIT: Final = 100  # characters; the longest that there is has 20
# https://docs.slack.dev/reference/methods/chat.postMessage: too_many_attachments. It advises 20 at most.
ATTACHMENTS_LIMIT: Final = 100
SIZE_LIMIT: Final = 100 * 1024  # bytes, as JSON; Slack names none, and refuses what has far less text than this

# Of a kind of block: its texts (objects of a type and a text), its strings, its lists, each with the longest that Slack
# takes; and what it needs, any one of each group.
_TEXTS: Final[Mapping[str, Mapping[str, int]]] = {
    "section": {"text": 3000},
    "header": {"text": 150},
    "image": {"title": 2000},
    "input": {"label": 2000, "hint": 2000},
}
_STRINGS: Final[Mapping[str, Mapping[str, int]]] = {
    "image": {"image_url": 3000, "alt_text": 2000},
    "markdown": {"text": 12_000},
}
_LISTS: Final[Mapping[str, Mapping[str, int]]] = {
    "section": {"fields": 10},
    "actions": {"elements": 25},
    "context": {"elements": 10},
}
_NEEDS: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "section": [("text", "fields")],
    "header": [("text",)],
    "image": [("image_url", "slack_file"), ("alt_text",)],
    "markdown": [("text",)],
    "actions": [("elements",)],
    "context": [("elements",)],
    "input": [("label",), ("element",)],
}
_FIELD_LIMIT: Final = 2000  # characters, of each of a section's fields

_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it; behind an odd backslash it is another text

Object = Mapping[str, Any]


def content(given: Object) -> Content:
    """`blocks` and `attachments`, as plain JSON. Raises: Unacceptable, naming the field."""
    known = {"blocks": require_blocks, "attachments": _require_attachments}
    for name in given:
        if name not in known:
            raise Unacceptable(str(name)[:100], "unknown_field", "is nothing that a Slack message has")
    fields = {name: _plain(name, value) for name, value in given.items()}
    for name, value in fields.items():
        known[name](name, value)
    return Content(fields)


def _plain(name: str, given: object) -> Any:
    try:
        written = json.dumps(given, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # only from a caller in the same process
        raise Unacceptable(name, "invalid", "must be what JSON can say") from None
    text.require_storable(name, written)
    if _NUL.search(written):
        text.require_storable(name, "\0")
    if (size := len(written.encode())) > SIZE_LIMIT:
        raise Unacceptable(name, "too_large", f"may have {SIZE_LIMIT} bytes at most, as JSON, not {size}")
    return json.loads(written)


def require_blocks(field: str, given: object) -> None:
    blocks = _list(field, given, limit=BLOCKS_LIMIT, of="blocks")
    seen: set[str] = set()
    for place, each in enumerate(blocks):
        here = f"{field}[{place}]"
        block = _object(here, each)
        if "type" not in block:
            raise Unacceptable(f"{here}.type", "required", "is required")
        kind = _string(f"{here}.type", block["type"], limit=TYPE_LIMIT)
        if "block_id" in block:
            id_ = _string(f"{here}.block_id", block["block_id"], limit=BLOCK_ID_LIMIT)
            if id_ in seen:
                raise Unacceptable(f"{here}.block_id", "repeated", "must be another than those of the other blocks")
            seen.add(id_)
        _require_block(here, kind, block)


def _require_block(here: str, kind: str, block: Object) -> None:
    for group in _NEEDS.get(kind, ()):
        if not any(name in block for name in group):
            raise Unacceptable(f"{here}.{group[0]}", "required", f"is required of a {kind}")
    for name, limit in _present(_TEXTS, kind, block):
        _require_text(f"{here}.{name}", block[name], limit=limit)
    for name, limit in _present(_STRINGS, kind, block):
        _string(f"{here}.{name}", block[name], limit=limit)
    for name, limit in _present(_LISTS, kind, block):
        for place, each in enumerate(_list(f"{here}.{name}", block[name], limit=limit, of="objects")):
            inner = _object(f"{here}.{name}[{place}]", each)
            if name == "fields":
                _require_text(f"{here}.{name}[{place}]", inner, limit=_FIELD_LIMIT)


def _present(table: Mapping[str, Mapping[str, int]], kind: str, block: Object) -> Iterator[tuple[str, int]]:
    return ((name, limit) for name, limit in table.get(kind, {}).items() if name in block)


def _require_attachments(field: str, given: object) -> None:
    for place, each in enumerate(_list(field, given, limit=ATTACHMENTS_LIMIT, of="attachments")):
        attachment = _object(f"{field}[{place}]", each)
        if not attachment:
            raise Unacceptable(f"{field}[{place}]", "blank", "must not be empty")
        if "blocks" in attachment:
            require_blocks(f"{field}[{place}].blocks", attachment["blocks"])


def _require_text(field: str, given: object, *, limit: int) -> None:
    words = _object(field, given)
    if words.get("type") not in ("plain_text", "mrkdwn"):  # it may be no text
        raise Unacceptable(f"{field}.type", "invalid", "must be plain_text or mrkdwn")
    if "text" not in words:
        raise Unacceptable(f"{field}.text", "required", "is required")
    _string(f"{field}.text", words["text"], limit=limit)


def _string(field: str, given: object, *, limit: int) -> str:
    if not isinstance(given, str):
        raise Unacceptable(field, "invalid", "must be a string")
    if not given:
        raise Unacceptable(field, "blank", "must not be empty")
    if len(given) > limit:
        raise Unacceptable(field, "too_long", f"must be at most {limit} characters, not {len(given)}")
    return given


def _object(field: str, given: object) -> Object:
    if not isinstance(given, Mapping):
        raise Unacceptable(field, "invalid", "must be an object")
    return given


def _list(field: str, given: object, *, limit: int, of: str) -> Sequence[object]:
    if not isinstance(given, list):
        raise Unacceptable(field, "invalid", f"must be a list of {of}")
    if not 0 < len(given) <= limit:
        raise Unacceptable(field, "wrong_number", f"must be 1 to {limit} {of}, not {len(given)}")
    return given
