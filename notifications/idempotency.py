"""The rules of the Idempotency-Key header and of the fingerprint; no database, no HTTP.

Source: draft-ietf-httpapi-idempotency-key-header-07 (the header is a structured-field string, RFC 8941
section 3.3.3) and the habit of most clients, which send it bare.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

LONGEST_KEY = 255  # characters, unquoted; as Stripe's

_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PRINTABLE = re.compile(r"[ -~]*")


class InvalidKey(ValueError):
    """Raised when what is given is no idempotency key; the text says what to mend and never repeats the value."""


def parse_key(header: str) -> str:
    """The key of an `Idempotency-Key` header's value, bare or quoted: `abc` and `"abc"` are one key.

    Servers join a header that was sent twice by a comma. So a bare key may hold none, and after a quoted one
    nothing may follow; a key that needs a comma is sent quoted.

    Raises: InvalidKey.
    """
    header = header.strip(" \t")
    if not header:
        raise InvalidKey("The Idempotency-Key is empty or not printable ASCII.")
    if not _PRINTABLE.fullmatch(header):
        raise InvalidKey("The Idempotency-Key must be printable ASCII.")
    key = _unquote(header) if header.startswith('"') else _bare(header)
    if not key:
        raise InvalidKey("The Idempotency-Key is empty.")
    if len(key) > LONGEST_KEY:
        raise InvalidKey(f"The Idempotency-Key has {len(key)} characters; at most {LONGEST_KEY} are allowed.")
    return key


def require_key(key: str | None) -> None:
    """Refuse what no header could say: whoever needs no HTTP has the same keys. Raises: InvalidKey."""
    if key is not None and not (0 < len(key) <= LONGEST_KEY and _PRINTABLE.fullmatch(key)):
        raise InvalidKey(f"An idempotency key is 1 to {LONGEST_KEY} characters of printable ASCII.")


def _bare(header: str) -> str:
    if "," in header:
        raise InvalidKey('Send one Idempotency-Key; a key that holds a comma must be quoted: "a,b".')
    return header


def _unquote(header: str) -> str:
    match = _QUOTED.match(header)
    if match is None:
        raise InvalidKey('A quoted Idempotency-Key ends with a quote; inside, \\" and \\\\ are the only escapes.')
    if match.end() != len(header):
        raise InvalidKey("Send one Idempotency-Key: nothing may follow a quoted key.")
    return re.sub(r'\\(["\\])', r"\1", match[1])


def fingerprint(body: Any) -> bytes:
    """SHA-256 of a parsed JSON body in canonical form: member order and white space do not matter.

    Raises: ValueError for NaN and the infinities, which are not JSON.
    """
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).digest()
