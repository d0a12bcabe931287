"""Bodies: one JSON object, read strictly, so that nothing is stored that was not meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.message import Message
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from channels.text import UNSTORABLE
from notifications.api.problems import Problem

DEEPEST = 20  # levels of nesting; the API itself needs two


class StrictJSONParser(BaseParser):
    """`application/json` in UTF-8 → dict.

    Refuses what `json.loads` lets pass and what Postgres or a provider would stumble over later: members
    named twice, NaN and infinities, lone surrogates, NUL characters, deep nesting, anything but an object.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        _check_charset(media_type or "")
        sent = parser_context["request"].META if parser_context else {}
        limit = settings.BODY_LIMITS.get(sent.get("PATH_INFO", "").rstrip("/"), settings.REQUEST_BODY_LIMIT)
        if int(sent.get("CONTENT_LENGTH") or 0) > limit:  # said before anything is read
            raise _too_large(limit)
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise _too_large(limit)
        return strict_object(raw)


def _too_large(limit: int) -> Problem:
    return Problem("payload_too_large", f"The body may have {limit} bytes at most.", headers={"Connection": "close"})


def _check_charset(media_type: str) -> None:
    if ";" not in media_type:
        return
    header = Message()
    header["Content-Type"] = media_type
    charset = header.get_param("charset", "utf-8")
    if str(charset).lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem("unsupported_media_type", "JSON is read in UTF-8 only; leave the charset out.")


def strict_object(raw: bytes) -> dict[str, Any]:
    """Raises: Problem `malformed_json`, saying what is wrong and where but never repeating the body."""
    try:
        body = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise _malformed(f"Byte {error.start} is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise _malformed(f"It is nested deeper than {DEEPEST} levels.") from None
    except ValueError:  # such as an integer of many thousand digits
        raise _malformed("A number is out of range.") from None
    if not isinstance(body, dict):
        raise _malformed("It must be an object: {…}.")
    _check(body)
    return body


def _malformed(detail: str) -> Problem:
    return Problem("malformed_json", f"The body is not usable JSON. {detail}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Readers differ in which of the two they take: what was meant cannot be known.
        raise _malformed("An object has two members of one name.")
    return members


def _refuse(constant: str) -> Any:
    raise _malformed(f"{constant} is not JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _malformed("A number is out of range.")
    return number


def _check(body: dict[str, Any]) -> None:
    """Look at every text, level by level (a recursion would end where an attacker wants it to)."""
    level: list[Any] = [body]
    for _ in range(DEEPEST):
        texts = [value for value in level if isinstance(value, str)]
        texts += [name for value in level if isinstance(value, dict) for name in value]
        _check_texts(texts)
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise _malformed(f"It is nested deeper than {DEEPEST} levels.")


def _check_texts(texts: list[str]) -> None:
    together = "".join(texts)
    if UNSTORABLE.search(together):
        what = "the NUL character" if "\x00" in together else "half of a surrogate pair"
        raise _malformed(f"A text holds {what}.")
