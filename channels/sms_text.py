"""How many segments a text message is sent in, and so paid for: by its encoding, GSM-7 or UCS-2.

The alphabet and its extension: 3GPP TS 23.038, section 6.2.1. What a segment holds: 140 octets, six of them taken by
the header that joins several (TS 23.040, section 9.2.3.24). Twilio counts so, too, and takes UCS-2 for the whole of a
text with one character that GSM-7 has not: https://www.twilio.com/docs/glossary/what-sms-character-limit

It is an estimate where Twilio does more than encode: a messaging service with Smart Encoding replaces characters
before, and toll-free senders have a septet less in each segment.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")  # an escape and a septet each
_GSM_7: Final = _BASIC | _EXTENSION


class Encoding(enum.StrEnum):
    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


# In units (septets; 16 bits) a message that is alone, and each of several.
_ROOM: Final = {Encoding.GSM_7: (160, 153), Encoding.UCS_2: (70, 67)}


class Measure(NamedTuple):
    encoding: Encoding
    segments: int


def measure(body: str) -> Measure:
    """The encoding of a text that is not empty, and its segments."""
    if _GSM_7.issuperset(body):
        return Measure(Encoding.GSM_7, _segments(Encoding.GSM_7, (2 if char in _EXTENSION else 1 for char in body)))
    # What is beyond 16 bits takes a pair of surrogates.
    return Measure(Encoding.UCS_2, _segments(Encoding.UCS_2, (2 if char > "\uffff" else 1 for char in body)))


def _segments(encoding: Encoding, widths: Iterable[int]) -> int:
    """Neither an escape nor a surrogate is parted from what follows it: a segment ends with a unit unused instead."""
    alone, each = _ROOM[encoding]
    total, segments, filled = 0, 1, 0
    for width in widths:
        total += width
        if filled + width > each:
            segments, filled = segments + 1, 0
        filled += width
    return 1 if total <= alone else segments
