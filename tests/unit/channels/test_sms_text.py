"""How a text is encoded and cut, against a counter that does it the long way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms_text import Encoding, measure

# By code, 0x00 to 0x7F without the escape (0x1B), and the extension's: transcribed from the tables of 3GPP TS 23.038.
ALPHABET = [
    *(0x40, 0xA3, 0x24, 0xA5, 0xE8, 0xE9, 0xF9, 0xEC, 0xF2, 0xC7, 0x0A, 0xD8, 0xF8, 0x0D, 0xC5, 0xE5),
    *(0x394, 0x5F, 0x3A6, 0x393, 0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E, 0xC6, 0xE6, 0xDF, 0xC9),
    *(0x20, 0x21, 0x22, 0x23, 0xA4, *range(0x25, 0x40)),
    *(0xA1, *range(0x41, 0x5B), 0xC4, 0xD6, 0xD1, 0xDC, 0xA7),
    *(0xBF, *range(0x61, 0x7B), 0xE4, 0xF6, 0xF1, 0xFC, 0xE0),
]
EXTENSION = [0x0C, 0x5E, 0x7B, 0x7D, 0x5C, 0x5B, 0x7E, 0x5D, 0x7C, 0x20AC]

gsm_texts = st.text([chr(code) for code in (*ALPHABET, *EXTENSION)], min_size=1, max_size=700)
euro_texts = st.text("a€", min_size=140, max_size=700)
any_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
emoji_texts = st.text("aж🎉", min_size=60, max_size=300)


def cut(pieces: list[bytes], alone: int, each: int) -> int:
    """Segments of whole pieces, one of which is never parted."""
    if sum(map(len, pieces)) <= alone:
        return 1
    count = 0
    while pieces:
        taken = 0
        while taken < len(pieces) and len(b"".join(pieces[: taken + 1])) <= each:
            taken += 1
        pieces, count = pieces[taken:], count + 1
    return count


def slowly(text: str) -> tuple[str, int]:
    if all(ord(char) in ALPHABET or ord(char) in EXTENSION for char in text):
        septets = [b"\x1b?" if ord(char) in EXTENSION else b"?" for char in text]
        return "GSM-7", cut(septets, 140 * 8 // 7, (140 - 6) * 8 // 7)
    return "UCS-2", cut([char.encode("utf-16-be") for char in text], 140, 134)


@pytest.mark.parametrize("texts", [gsm_texts, euro_texts, any_texts, emoji_texts], ids=["gsm", "euro", "any", "emoji"])
def test_every_text_is_counted_as_the_slow_way_does(texts: st.SearchStrategy[str]) -> None:
    @given(texts)
    def agree(text: str) -> None:
        found = measure(text)
        assert (found.encoding, found.segments) == slowly(text)

    agree()


def test_the_alphabet_has_its_127_characters_and_ten_more() -> None:
    assert (len(set(ALPHABET)), len(set(EXTENSION))) == (127, 10)
    assert {chr(code) for code in (*ALPHABET, *EXTENSION)} == {
        char for char in map(chr, range(0xD800)) if measure(char).encoding is Encoding.GSM_7
    }


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("€" * 80, "GSM-7", 1),
        ("€" * 81, "GSM-7", 2),
        ("a" * 152 + "€" * 5, "GSM-7", 2),
        ("€" * 153, "GSM-7", 3),  # 76 in each segment, and a septet unused
        ("ж" * 70, "UCS-2", 1),
        ("ж" * 71, "UCS-2", 2),
        ("ж" * 134, "UCS-2", 2),
        ("🎉" * 35, "UCS-2", 1),
        ("🎉" * 36, "UCS-2", 2),
        ("🎉" * 67, "UCS-2", 3),  # 33 in each segment: the 34th is not parted
        ("a" * 100 + "`", "UCS-2", 2),  # one character that GSM-7 has not
        ("a" * 1600, "GSM-7", 11),
        ("ж" * 1600, "UCS-2", 24),
    ],
    ids=repr,
)
def test_a_text_has_the_segments_that_twilio_bills(text: str, encoding: str, segments: int) -> None:
    assert measure(text) == (encoding, segments)
