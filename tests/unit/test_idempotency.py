from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.idempotency import LONGEST_KEY, InvalidKey, fingerprint, parse_key

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=LONGEST_KEY)


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("key", ["a", "order-placed:42", "8e03978e-40d5-43e8-bc93-6894a57f9324", "two words", 'it"s'])
def test_a_bare_key_is_taken_as_it_is(key: str) -> None:
    assert parse_key(key) == key


@pytest.mark.parametrize("key", ["a", "order, placed", 'say "hi"', "back\\slash"])
def test_a_quoted_key_equals_its_bare_text(key: str) -> None:
    assert parse_key(quoted(key)) == key


@given(PRINTABLE)
def test_every_printable_key_survives_quoting(key: str) -> None:
    assert parse_key(quoted(key)) == key


def test_white_space_around_a_key_is_not_part_of_it() -> None:
    assert parse_key(" \tabc ") == "abc"


@pytest.mark.parametrize("header", ["", "   ", '""', '"'])
def test_an_empty_key_is_refused(header: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(header)


def test_a_key_of_255_characters_is_the_longest() -> None:
    assert parse_key("k" * 255) == "k" * 255
    with pytest.raises(InvalidKey, match="256 characters"):
        parse_key("k" * 256)


def test_the_length_is_counted_without_quotes_and_escapes() -> None:
    assert parse_key(quoted('"' * 255)) == '"' * 255


@pytest.mark.parametrize("header", ["caf\u00e9", "a\tb", "a\x00b", "a\x7fb", '"caf\u00e9"'])
def test_a_key_that_is_not_printable_ascii_is_refused(header: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(header)


@pytest.mark.parametrize("header", ["a,b", "a, a", '"a","b"', '"a", "a"', '"a",b', 'a,"b"', '"a" b'])
def test_a_key_that_was_sent_twice_is_refused(header: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(header)


@pytest.mark.parametrize("header", ['"abc', '"a\\b"', '"abc\\"'])
def test_a_badly_quoted_key_is_refused(header: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(header)


def test_the_refusal_never_repeats_the_key() -> None:
    with pytest.raises(InvalidKey) as caught:
        parse_key("my-secret-key,other")
    assert "my-secret-key" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_member_order_and_white_space_do_not_change_the_fingerprint(body: dict[str, object]) -> None:
    spaced = json.dumps(dict(reversed(body.items())), indent=3)
    assert fingerprint(json.loads(spaced)) == fingerprint(body)


@pytest.mark.parametrize(
    "other",
    [
        {"message": "Hi"},
        {"message": "hi", "to": "a"},
        {"message": ["hi"]},
        {"message": "hi "},
        {"messages": "hi"},
    ],
)
def test_any_other_content_changes_the_fingerprint(other: dict[str, object]) -> None:
    assert fingerprint(other) != fingerprint({"message": "hi"})


def test_a_number_and_its_text_have_different_fingerprints() -> None:
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


def test_the_fingerprint_is_32_bytes_and_stable_across_versions() -> None:
    # Stored for 72 hours and longer: a release that changed this form would answer retries by 422.
    assert fingerprint({"to": "é", "message": "hi"}).hex() == (
        "8b477bbbe1368a30e490f5ce24d4ea0298872bb5bfca73a262de50ad5f60ba6f"
    )
