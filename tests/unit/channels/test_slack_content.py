"""What a Slack message may have beyond its text: sizes and shapes, each from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from channels import slack_content
from channels.contract import Unacceptable

DIVIDER = {"type": "divider"}


def words(length: int, kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": kind, "text": "x" * length}


def refusal(**given: Any) -> tuple[str, str]:
    with pytest.raises(Unacceptable) as error:
        slack_content.content(given)
    return error.value.field, error.value.code


def test_blocks_and_attachments_come_back_as_they_are() -> None:
    given = {"blocks": [DIVIDER, {"type": "new", "a": [1, None, 1.5]}], "attachments": [{"color": "#fff", "text": "x"}]}
    assert slack_content.content(given) == (given, ())


def test_what_a_slack_message_does_not_have_is_refused() -> None:
    assert refusal(html="<p>") == ("html", "unknown_field")


@pytest.mark.parametrize(
    ("good", "bad", "field"),
    [
        ({"type": "section", "text": words(3000)}, {"type": "section", "text": words(3001)}, "text.text"),
        (
            {"type": "section", "fields": [words(2000)] * 10},
            {"type": "section", "fields": [words(2000), words(2001)]},
            "fields[1].text",
        ),
        (
            {"type": "header", "text": words(150, "plain_text")},
            {"type": "header", "text": words(151, "plain_text")},
            "text.text",
        ),
        (
            {"type": "image", "image_url": "x" * 3000, "alt_text": "x" * 2000},
            {"type": "image", "image_url": "x" * 3001, "alt_text": "x"},
            "image_url",
        ),
        (
            {"type": "image", "slack_file": {"id": "F1"}, "alt_text": "x"},
            {"type": "image", "slack_file": {"id": "F1"}, "alt_text": "x" * 2001},
            "alt_text",
        ),
        ({"type": "markdown", "text": "x" * 12_000}, {"type": "markdown", "text": "x" * 12_001}, "text"),
        ({"type": "x" * 100}, {"type": "x" * 101}, "type"),
        ({"type": "divider", "block_id": "x" * 255}, {"type": "divider", "block_id": "x" * 256}, "block_id"),
    ],
)
def test_texts_are_as_long_as_slack_takes_them(good: object, bad: object, field: str) -> None:
    slack_content.content({"blocks": [good]})
    assert refusal(blocks=[DIVIDER, bad]) == (f"blocks[1].{field}", "too_long")


@pytest.mark.parametrize(
    ("kind", "name", "most"), [("section", "fields", 10), ("actions", "elements", 25), ("context", "elements", 10)]
)
def test_lists_are_as_long_as_slack_takes_them(kind: str, name: str, most: int) -> None:
    slack_content.content({"blocks": [{"type": kind, name: [words(1)] * most}]})
    assert refusal(blocks=[{"type": kind, name: [words(1)] * (most + 1)}]) == (f"blocks[0].{name}", "wrong_number")
    assert refusal(blocks=[{"type": kind, name: []}]) == (f"blocks[0].{name}", "wrong_number")


def test_there_are_so_many_blocks_and_attachments_and_no_more() -> None:
    slack_content.content({"blocks": [DIVIDER] * 50, "attachments": [{"text": "x"}] * 100})
    assert refusal(blocks=[DIVIDER] * 51) == ("blocks", "wrong_number")
    assert refusal(attachments=[{"text": "x"}] * 101) == ("attachments", "wrong_number")
    assert refusal(blocks=[]) == ("blocks", "wrong_number")


def test_the_whole_has_a_limit() -> None:
    room = slack_content.SIZE_LIMIT - len('[{"text": ""}]')
    slack_content.content({"attachments": [{"text": "x" * room}]})
    assert refusal(attachments=[{"text": "x" * (room + 1)}]) == ("attachments", "too_large")


@pytest.mark.parametrize(
    ("blocks", "field", "code"),
    [
        ({}, "blocks", "invalid"),
        ("x", "blocks", "invalid"),
        (["x"], "blocks[0]", "invalid"),
        ([{}], "blocks[0].type", "required"),
        ([{"type": 1}], "blocks[0].type", "invalid"),
        ([{"type": ""}], "blocks[0].type", "blank"),
        ([{"type": "section"}], "blocks[0].text", "required"),
        ([{"type": "section", "text": "x"}], "blocks[0].text", "invalid"),
        ([{"type": "section", "text": {"type": [], "text": "x"}}], "blocks[0].text.type", "invalid"),
        ([{"type": "section", "text": {"type": "mrkdwn"}}], "blocks[0].text.text", "required"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": ""}}], "blocks[0].text.text", "blank"),
        ([{"type": "context", "elements": ["x"]}], "blocks[0].elements[0]", "invalid"),
        ([{"type": "a", "block_id": "1"}, {"type": "b", "block_id": "1"}], "blocks[1].block_id", "repeated"),
        ([{"type": "a", "b": float("nan")}], "blocks", "invalid"),
        ([{"type": "a", "b": {1, 2}}], "blocks", "invalid"),
        ([{"type": "a", "b": "a\0"}], "blocks", "invalid_characters"),
        ([{"type": "a", "b\\\0": 1}], "blocks", "invalid_characters"),
        ([{"type": "a", "b": "\ud800"}], "blocks", "invalid_characters"),
    ],
)
def test_what_is_wrong_with_a_block_is_named(blocks: object, field: str, code: str) -> None:
    assert refusal(blocks=blocks) == (field, code)


def test_a_backslash_before_what_looks_like_a_nul_is_a_text() -> None:
    blocks = [{"type": "a", "b": "\\u0000"}]
    assert slack_content.content({"blocks": blocks}).fields == {"blocks": blocks}


def test_what_is_nested_beyond_reason_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert refusal(blocks=[{"type": "a", "b": deep}]) == ("blocks", "invalid")


@pytest.mark.parametrize(
    ("attachments", "field"),
    [({}, "attachments"), ([1], "attachments[0]"), ([{"blocks": [{}]}], "attachments[0].blocks[0].type")],
)
def test_what_is_wrong_with_an_attachment_is_named(attachments: object, field: str) -> None:
    assert refusal(attachments=attachments)[0] == field
