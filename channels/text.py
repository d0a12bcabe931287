"""What every channel asks of its texts, and how a provider's words become one line for an operator."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from channels.contract import Unacceptable

# https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1 and its erratum 1690
LOCAL_LIMIT, ADDRESS_LIMIT = 64, 254
INVALID_ADDRESS = ("invalid_email_address", "must be one email address, such as ada@example.com, without a name")
HIDDEN_FROM = 6  # characters; a body of "a" must not turn every other word into <hidden>
DETAIL_LIMIT = 300  # characters; an operator's line, not a provider's page

# What no provider, and no Postgres text, can hold: NUL and halves of surrogate pairs.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def one_line(words: str, *, hide: Iterable[str] = ()) -> str:
    """A provider's words on one line, cut short, without what must not be in a log or an error."""
    for secret in sorted(hide, key=len, reverse=True):
        if len(secret) >= HIDDEN_FROM:
            words = words.replace(secret, "<hidden>")
    printable = "".join(char if char.isprintable() else " " for char in words)
    line = " ".join(printable.split())
    return line if len(line) <= DETAIL_LIMIT else line[: DETAIL_LIMIT - 1] + "…"


def require_storable(field: str, words: str) -> None:
    if UNSTORABLE.search(words):
        raise Unacceptable(field, "invalid_characters", "holds a NUL or half of a surrogate pair")


def require_line(field: str, words: str, *, limit: int) -> None:
    """Refuse anything that could end a header or a protocol's line early."""
    require_storable(field, words)
    if len(words) > limit:
        raise Unacceptable(field, "too_long", f"must be at most {limit} characters, not {len(words)}")
    if any(unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in words):
        raise Unacceptable(field, "invalid_characters", "must be one line, without control characters")


def normal_address(field: str, address: str) -> str:
    """A bare email address with its domain in lower-case ASCII, whatever script it was written in.

    Refused, because a relay would too or somebody else would get the mail: display names, quoted local parts,
    letters beyond ASCII before the @, literal IP addresses, and what IDNA 2008 does not know (the older
    standard turns straße.example into strasse.example, another domain).
    """
    local, _, domain = address.rpartition("@")
    try:
        normal = f"{local}@{domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        normal = ""
    if not normal.isascii() or not normal.isprintable() or not _is_address(normal):
        raise Unacceptable(field, *INVALID_ADDRESS)
    return normal


def _is_address(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    if len(local) > LOCAL_LIMIT or len(address) > ADDRESS_LIMIT or local.startswith('"') or domain.startswith("["):
        return False
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def require_body(body: str, *, limit: int) -> None:
    """Refuse a message of more than `limit` characters, and one that says nothing."""
    require_storable("message", body)
    if not body.strip():
        raise Unacceptable("message", "blank", "must not be empty")
    if len(body) > limit:
        raise Unacceptable("message", "too_long", f"must be at most {limit} characters, not {len(body)}")


def refuse_subject(subject: str, channel: str) -> None:
    """For channels that have none: a subject would be lost without a word."""
    if subject:
        raise Unacceptable("subject", "not_supported", f"{channel} has no subject: leave it out")
