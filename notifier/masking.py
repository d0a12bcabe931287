"""Take secrets and people's addresses out of what is logged.

Three nets, because each has holes: a field's name says that its value is secret, a value's shape says so
(an API key, a bearer token, a password in a URL), and the configured secrets themselves are known literally,
so that no library's own wording of an error can carry one into a log.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from channels.masks import MASK, recipient

_SECRET_FIELDS = re.compile(
    r"(?i)^(.*[_-])?(authorization|cookie|pass(word|wd|phrase)?|secret(_key)?|token|api_?key|credentials?"
    r"|webhooks?|web_?hook_url|database_url|broker_url|dsn|digest)$"
)
_RECIPIENT_FIELDS = re.compile(r"(?i)^(to|recipients?|send_to(_number)?|phone(_number)?|e?mail(_address)?)$")
# Lines of ours never hold a message's text; if one does by mistake, it stops here.
_CONTENT_FIELDS = re.compile(r"(?i)^(message_?body|body|subject|request_body|response_body)$")

_PHONE = re.compile(r"\+\d[\d ().-]{5,18}\d")
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]+\.)+[\w-]+")

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bnk_((?:test_)?[A-Za-z0-9]{1,32})_[A-Za-z0-9_-]+"), rf"nk_\1_{MASK}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), f"whsec_{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?<=://)([^\s:/@]*):([^\s/@]+)@"), rf"\1:{MASK}@"),
    # A Slack webhook is a secret from its path on; requests and urllib3 name the path alone.
    (re.compile(r"(https?://hooks\.[\w.-]+)/\S+"), rf"\1/{MASK}"),
    (re.compile(r"/(services|workflows|triggers)/[A-Z]\w{5,}/[\w/-]+"), rf"/\1/{MASK}"),
    (re.compile(r"(with url: )\S+"), rf"\1{MASK}"),
    # In its details and contexts Postgres quotes what it was given: whole rows with the message in them, keys, JSON.
    # A message may have blank lines; behind these goes only what Python says between two tracebacks.
    (
        re.compile(
            r"(?s)\b(DETAIL|CONTEXT):  .*?"
            r"(?=\n(?:HINT|QUERY|CONTEXT):  |\n\n(?:The above exception|During handling)|\Z)"
        ),
        rf"\1:  {MASK}",
    ),
    (
        re.compile(r"(?i)\b(\w*(?:password|passwd|secret|token|api_?key))(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&)}]+"),
        rf"\1\2{MASK}",
    ),
)
# A text without any of these, in whatever case, holds nothing that a pattern below or above would find: most are such.
_SUSPICIOUS = (
    *("@", "+", "nk_", "whsec_", "://", "bearer", "basic", "with url", "/services/", "/workflows/", "/triggers/"),
    *("passw", "secret", "token", "apikey", "api_key", "detail:", "context:"),
)
_SHORTEST_SECRET = 6  # a shorter literal would blot out ordinary words


def literals(secrets: Iterable[str]) -> Sequence[str]:
    """The given secrets, and of those that are URLs the path and the password too; the longest first."""
    found: set[str] = set()
    for secret in secrets:
        found.add(secret)
        if "://" in secret:
            with suppress(ValueError):  # no URL after all; whoever wants one says so
                parts = urlsplit(secret)
                found.update((parts.path, parts.password or ""))
    found |= {quote(secret, safe="") for secret in found}
    return sorted((word for word in found if len(word) >= _SHORTEST_SECRET), key=len, reverse=True)


class _Kind(enum.Enum):
    """What a field's name says of its value."""

    SECRET = enum.auto()
    RECIPIENT = enum.auto()
    PLAIN = enum.auto()


@lru_cache(maxsize=1024)
def _kind(name: str) -> _Kind:
    if _SECRET_FIELDS.match(name) or _CONTENT_FIELDS.match(name):
        return _Kind.SECRET
    return _Kind.RECIPIENT if _RECIPIENT_FIELDS.match(name) else _Kind.PLAIN


class Masker:
    """A structlog processor: masks an event's fields, at any depth, and its text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._literals = literals(secrets)

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in event.items():
            if not name.startswith("_"):  # structlog's own bookkeeping
                event[name] = self._field(name, value)
        return event

    def text(self, text: str) -> str:
        """Mask what is secret by its shape or by its being configured, and every phone number and address."""
        for secret in self._literals:
            text = text.replace(secret, MASK)
        folded = text.casefold()  # like (?i), which takes a long s for an s
        if not any(word in folded for word in _SUSPICIOUS):
            return text
        for pattern, replacement in _SHAPES:
            text = pattern.sub(replacement, text)
        text = _EMAIL.sub(lambda match: recipient(match[0]), text)
        return _PHONE.sub(lambda match: recipient(match[0]), text)

    def _all_plain(self, values: Collection[Any]) -> bool:
        """Whether all are texts without anything to mask: looked at together, because there may be a hundred."""
        if not all(type(value) is str for value in values):
            return False
        together = "\n".join(values)
        return self.text(together) == together

    def _field(self, name: str, value: Any) -> Any:
        kind = _kind(name)
        if kind is _Kind.SECRET:
            return MASK if value else value
        if isinstance(value, str):
            return self.text(recipient(value) if kind is _Kind.RECIPIENT else value)
        if isinstance(value, Mapping):
            return {key: self._field(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            if kind is _Kind.PLAIN and self._all_plain(value):
                return list(value)
            return [self._field(name, inner) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
