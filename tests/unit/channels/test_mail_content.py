"""What a mail may have beyond its text: each rule from both sides, and what is refused is named."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from channels import mail_content
from channels.contract import File, Unacceptable

PDF = {"name": "invoice.pdf", "content": base64.b64encode(b"%PDF").decode()}


def refusal(**given: Any) -> tuple[str, str]:
    with pytest.raises(Unacceptable) as error:
        mail_content.content(given)
    return error.value.field, error.value.code


def file(**changed: Any) -> dict[str, Any]:
    return {"attachments": [{**PDF, **changed}]}


def octets(count: int) -> str:
    return base64.b64encode(b"x" * count).decode()


def test_nothing_given_is_nothing() -> None:
    assert mail_content.content({}) == ({}, ())


def test_all_of_it_comes_back_in_its_normal_form() -> None:
    unsubscribe = {"List-Unsubscribe": "<https://example.com/u?1>, <mailto:u@example.com>"}
    found = mail_content.content(
        {
            "html": "<p>Hello</p>",
            "reply_to": "Ann@EXAMPLE.com",
            "headers": {"X-Order": "42", **unsubscribe, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
            "attachments": [PDF, {"name": "a.b", "content": "AA==", "content_type": "text/csv"}],
        }
    )
    assert found.fields["html"] == "<p>Hello</p>"
    assert found.fields["reply_to"] == ["Ann@example.com"]
    assert list(found.fields["headers"]) == ["X-Order", "List-Unsubscribe", "List-Unsubscribe-Post"]
    assert found.files == [File("invoice.pdf", "application/pdf", b"%PDF"), File("a.b", "text/csv", b"\0")]


def test_what_a_mail_does_not_have_is_refused() -> None:
    assert refusal(blocks=[]) == ("blocks", "unknown_field")


@pytest.mark.parametrize(
    ("html", "code"), [(1, "invalid"), ("", "blank"), (" \n", "blank"), ("\0", "invalid_characters")]
)
def test_html_says_something(html: object, code: str) -> None:
    assert refusal(html=html) == ("html", code)


def test_html_has_its_limit_in_bytes() -> None:
    mail_content.content({"html": "ü" * (mail_content.HTML_LIMIT // 2)})
    assert refusal(html="ü" * (mail_content.HTML_LIMIT // 2) + "x") == ("html", "too_long")


@pytest.mark.parametrize(
    "wrong", ["Ann <ann@example.com>", "ann", "a@example.com, b@example.com", "a@b.c\r\nBcc: d@e.f"]
)
def test_answers_go_to_bare_addresses(wrong: str) -> None:
    assert refusal(reply_to=wrong) == ("reply_to", "invalid_email_address")
    assert refusal(reply_to=["ann@example.com", wrong]) == ("reply_to[1]", "invalid_email_address")


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ([], "reply_to", "wrong_number"),
        (["a@example.com"] * 11, "reply_to", "wrong_number"),
        (1, "reply_to", "invalid"),
        ([1], "reply_to[0]", "invalid"),
    ],
)
def test_addresses_for_answers_are_a_list_of_some(wrong: object, field: str, code: str) -> None:
    assert refusal(reply_to=wrong) == (field, code)
    mail_content.content({"reply_to": ["a@example.com"] * mail_content.REPLY_TO_LIMIT})


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Bcc",
            "To",
            "From",
            "Subject",
            "Message-ID",
            "Date",
            "Content-Type",
            "Auto-Submitted",
            "Resent-To",
            "Sender",
        ),
        *("", "X-", "X-a:b", "X-a b", "X-a\r\nBcc", "X-ü", f"X-{'a' * 76}", "list-unsubscribe"),
    ],
)
def test_no_other_headers_can_be_set(name: str) -> None:
    assert refusal(headers={name: "value"}) == ("headers", "unknown_header")


@pytest.mark.parametrize("name", ["X-Correlation-ID", "x-correlation-id", "X-SMTPAPI", "X-MC-BccAddress"])
def test_the_services_own_headers_and_those_that_add_recipients_cannot_be_set(name: str) -> None:
    assert refusal(headers={name: "value"}) == (f"headers.{name}", "reserved")


@pytest.mark.parametrize(
    "value", ["a\r\nBcc: eve@example.com", "a\nb", "a\rb", "ü", "a\0", "a\tb", " a", "a ", "", "\x7f", "a\u2028b"]
)
def test_a_header_is_one_line_of_printable_ascii(value: str) -> None:
    field, code = refusal(headers={"X-A": value})
    assert (field, code) == ("headers.X-A", "invalid_characters")


def test_headers_have_their_limits() -> None:
    mail_content.content({"headers": {"X-A": "x" * mail_content.HEADER_LIMIT}})
    assert refusal(headers={"X-A": "x" * (mail_content.HEADER_LIMIT + 1)}) == ("headers.X-A", "too_long")
    many = {f"X-{number}": "x" for number in range(mail_content.HEADERS_LIMIT)}
    mail_content.content({"headers": many})
    assert refusal(headers={**many, "X-A": "x"}) == ("headers", "too_many")


@pytest.mark.parametrize(
    ("headers", "field", "code"),
    [
        ({"X-A": 1}, "headers.X-A", "invalid"),
        ([], "headers", "invalid"),
        ({1: "x"}, "headers", "unknown_header"),
        ({"X-A": "x", "x-a": "y"}, "headers.x-a", "repeated"),
        ({"List-Unsubscribe": "https://example.com"}, "headers.List-Unsubscribe", "invalid"),
        ({"List-Unsubscribe": "<http://example.com>"}, "headers.List-Unsubscribe", "invalid"),
        ({"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}, "headers.List-Unsubscribe-Post", "incomplete"),
        (
            {"List-Unsubscribe": "<https://example.com>", "List-Unsubscribe-Post": "yes"},
            "headers.List-Unsubscribe-Post",
            "invalid",
        ),
    ],
)
def test_headers_are_texts_that_mean_something(headers: object, field: str, code: str) -> None:
    assert refusal(headers=headers) == (field, code)


@pytest.mark.parametrize(
    "name",
    [
        *("../a", "a/b", "a\\b", ".", "..", ".bashrc", "a.", " a", "a ", "a\nb", "a\r\nBcc: x", "a\x7f", ""),
        *("a\u202efdp.exe", "a\u2028b", "\u2066a"),
    ],
)
def test_a_file_name_is_no_path_and_has_nothing_hidden(name: str) -> None:
    assert refusal(**file(name=name)) == ("attachments[0].name", "invalid_file_name")


@pytest.mark.parametrize("name", ["a", "Rechnung März.pdf", "请求.txt", 'a "quoted" one; with=signs.csv', "x" * 150])
def test_other_file_names_are_taken(name: str) -> None:
    (found,) = mail_content.content(file(name=name)).files
    assert found.name == name


@pytest.mark.parametrize(
    "wrong",
    ["", "pdf", "application/", "multipart/mixed", "message/rfc822", "text/plain; charset=utf-8", "a/b", "text/a\r\nb"],
)
def test_a_content_type_is_a_type_and_a_subtype(wrong: str) -> None:
    assert refusal(**file(content_type=wrong)) == ("attachments[0].content_type", "invalid_content_type")


@pytest.mark.parametrize(
    ("name", "guess"), [("a.pdf", "application/pdf"), ("a", "application/octet-stream"), ("a.eml", None)]
)
def test_a_content_type_is_guessed_from_the_name(name: str, guess: str | None) -> None:
    (found,) = mail_content.content(file(name=name)).files
    assert found.content_type == (guess or "application/octet-stream")


@pytest.mark.parametrize("wrong", ["A", "AA", "AAA", "AA=", "AA==AA==", "A A=", "AA==\n", "_-==", "ü===", "=AAA"])
def test_base64_is_read_strictly(wrong: str) -> None:
    assert refusal(**file(content=wrong)) == ("attachments[0].content", "invalid_base64")


def test_an_empty_file_is_refused() -> None:
    assert refusal(**file(content="")) == ("attachments[0].content", "blank")


def test_files_have_a_limit_together() -> None:
    half = mail_content.FILES_SIZE_LIMIT // 2
    one, rest = {"name": "a", "content": octets(half)}, mail_content.FILES_SIZE_LIMIT - half
    mail_content.content({"attachments": [one, {"name": "b", "content": octets(rest)}]})
    over = [one, {"name": "b", "content": octets(rest + 1)}]
    assert refusal(attachments=over) == ("attachments[1].content", "too_large")
    far_over = [{"name": "b", "content": "!" * (2 * mail_content.FILES_SIZE_LIMIT)}]  # not even looked at
    assert refusal(attachments=far_over) == ("attachments[0].content", "too_large")


def test_there_are_only_so_many_files() -> None:
    mail_content.content({"attachments": [PDF] * mail_content.FILES_LIMIT})
    assert refusal(attachments=[PDF] * (mail_content.FILES_LIMIT + 1)) == ("attachments", "wrong_number")
    assert refusal(attachments=[]) == ("attachments", "wrong_number")


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ("x", "attachments", "invalid"),
        (["x"], "attachments[0]", "invalid"),
        ([{"content": "AA=="}], "attachments[0].name", "required"),
        ([PDF, {"name": "a"}], "attachments[1].content", "required"),
        ([{**PDF, "path": "/etc/passwd"}], "attachments[0].path", "unknown_field"),
        ([{**PDF, "name": 1}], "attachments[0].name", "invalid"),
        ([{**PDF, "content": None}], "attachments[0].content", "invalid"),
        ([{**PDF, "content_type": None}], "attachments[0].content_type", "invalid"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(wrong: object, field: str, code: str) -> None:
    assert refusal(attachments=wrong) == (field, code)
