"""API keys: 256 random bits, of which the database keeps only a SHA-256.

A slow password hash protects secrets that people choose; a key of this length cannot be guessed or searched for,
so a plain digest under a unique index is as safe, and one look-up per request.
"""

from __future__ import annotations

import enum
import hashlib
import secrets
from dataclasses import dataclass, field


class Scope(enum.StrEnum):
    """What a key allows its holder."""

    SEND = "send"  # have notifications accepted
    READ = "read"  # read the client's own
    MANAGE = "manage"  # resend, cancel and reschedule them


KEY_MARK = "nk"  # lets secret scanners and our own logs recognise a key
TEST_MARK = f"{KEY_MARK}_test"  # and people, at a glance, one that reaches the sandbox alone


@dataclass(frozen=True, slots=True)
class NewKey:
    text: str = field(repr=False)  # shown to its owner once
    prefix: str  # shown to operators, to tell keys apart
    digest: bytes = field(repr=False)


def new_key(*, test: bool = False) -> NewKey:
    prefix = secrets.token_hex(4)
    text = f"{beginning(prefix, test=test)}_{secrets.token_urlsafe(32)}"
    return NewKey(text=text, prefix=prefix, digest=digest(text))


def beginning(prefix: str, *, test: bool) -> str:
    """Of a key's text, what is no secret."""
    return f"{TEST_MARK if test else KEY_MARK}_{prefix}"


def digest(text: str) -> bytes:
    """SHA-256 of the whole key, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()
