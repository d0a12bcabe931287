from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import text
from channels.contract import Unacceptable


def test_a_providers_words_become_one_line() -> None:
    assert text.one_line("no\r\nsuch\x00\tuser \x1b[31m") == "no such user [31m"


def test_a_long_answer_is_cut() -> None:
    line = text.one_line("x" * 10_000)
    assert len(line) == 300
    assert line.endswith("…")


def test_what_must_not_be_shown_is_hidden_longest_first() -> None:
    words = "see https://hooks.example/services/T/B/tok3n12 (tok3n12)"
    shown = text.one_line(words, hide=("tok3n12", "https://hooks.example/services/T/B/tok3n12"))
    assert shown == "see <hidden> (<hidden>)"


def test_short_texts_are_not_hidden_because_they_are_everywhere() -> None:
    assert text.one_line("a bad request", hide=("a", "")) == "a bad request"


@given(st.text())
def test_a_line_is_one_printable_line_whatever_came(words: str) -> None:
    line = text.one_line(words)
    assert line.isprintable()
    assert len(line) <= text.DETAIL_LIMIT


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace+x@Example.COM", "Ada.Lovelace+x@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),  # not strasse.example, which is another's
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_comes_back_in_its_normal_form(address: str, normal: str) -> None:
    assert text.normal_address("to", address) == normal


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@@example.com",
        "ada@example..com",
        "ada@-example.com",
        "ada @example.com",
        " ada@example.com",
        "ada@example.com ",
        "ada@example.com\n",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@exam\x00ple.com",
        "ada@example.com,eve@example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        '"ada"@example.com',
        "ada@[127.0.0.1]",
        "adä@example.com",
        "ada\u212a@example.com",  # a Kelvin sign, which a regex without case takes for a k
        "ada@exa\u00admple.com\u2028",
        "ada@\ud800.com",
        ".ada@example.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 60 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 63 + ".com",
    ],
)
def test_what_is_no_single_bare_address_is_refused(address: str) -> None:
    with pytest.raises(Unacceptable) as refusal:
        text.normal_address("to", address)
    assert (refusal.value.field, refusal.value.code) == ("to", "invalid_email_address")


@given(st.text(st.characters(codec=None), max_size=80))
def test_no_text_at_all_makes_an_address_that_could_end_a_header(words: str) -> None:
    try:
        address = text.normal_address("to", words)
    except Unacceptable:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>,;:\\"')


@pytest.mark.parametrize("words", ["a\nb", "a\rb", "a\x00b", "a\x0bb", "a\x85b", "a\u2028b", "a\x1bb", "a\ud800b"])
def test_a_line_holds_nothing_that_could_end_it(words: str) -> None:
    with pytest.raises(Unacceptable) as refusal:
        text.require_line("subject", words, limit=100)
    assert (refusal.value.field, refusal.value.code) == ("subject", "invalid_characters")


@pytest.mark.parametrize("body", ["", " ", "\n\t\u3000"])
def test_a_blank_message_is_refused(body: str) -> None:
    with pytest.raises(Unacceptable) as refusal:
        text.require_body(body, limit=100)
    assert (refusal.value.field, refusal.value.code) == ("message", "blank")


@pytest.mark.parametrize("body", ["a\x00b", "\udc00", "a\ud83d"])
def test_a_message_that_nobody_can_store_is_refused(body: str) -> None:
    with pytest.raises(Unacceptable) as refusal:
        text.require_body(body, limit=100)
    assert refusal.value.code == "invalid_characters"
