"""The patterns of the schema say of every character what the code says."""

from __future__ import annotations

import re

import pytest

from channels import text
from channels.contract import Unacceptable
from notifications.api import shapes
from notifications.idempotency import InvalidKey, parse_key

CHARACTERS = [chr(code) for code in range(0x20000) if not 0xD800 <= code <= 0xDFFF]


def body_takes(words: str) -> bool:
    try:
        text.require_body(words, limit=100)
    except Unacceptable:
        return False
    return True


def subject_takes(words: str) -> bool:
    try:
        text.require_line("subject", words, limit=100)
    except Unacceptable:
        return False
    return bool(words.strip())


def key_takes(words: str) -> bool:
    try:
        parse_key(words)
    except InvalidKey:
        return False
    return words == words.strip(" \t")  # what is around a header's value is no part of it


@pytest.mark.parametrize("frame", ["{}", " {}", "{} ", "a{}", "{}a"])
@pytest.mark.parametrize(
    ("shape", "takes"), [(shapes.SMS_MESSAGE, body_takes), (shapes.SUBJECT, subject_takes)], ids=["body", "subject"]
)
def test_of_each_character_schema_and_code_say_the_same(shape, takes, frame: str) -> None:  # type: ignore[no-untyped-def]
    pattern = re.compile(shape["pattern"].replace("$", r"\Z"))
    assert [c for c in CHARACTERS if bool(pattern.match(frame.format(c))) != takes(frame.format(c))] == []


@pytest.mark.parametrize("frame", ["{}", "a{}", "{}a", "a{}a", '"{}"', '"{}', '"{}"a', '"\\{}"', '"a{}"', '{}""'])
def test_of_each_character_in_a_key_schema_and_code_say_the_same(frame: str) -> None:
    pattern = re.compile(shapes.KEY["pattern"].replace("$", r"\Z"))
    assert [c for c in CHARACTERS[:0x300] if bool(pattern.match(frame.format(c))) != key_takes(frame.format(c))] == []
