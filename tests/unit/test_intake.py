"""What a request may be, whoever asks."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import pytest
from django.test import override_settings

from notifications.intake import CORRELATION_ID, NotificationRequest, Refused, canonical, validated
from notifier import middleware

SLACK = {"backend": "channels.slack.SlackWebhook", "on_unknown": "resend", "batch": 20}
CHANNELS = {"slack": {**SLACK, "webhooks": {"default": "https://hooks.slack.com/a"}}}


def refusal(**fields: Any) -> str:
    with override_settings(NOTIFIER_CHANNELS=CHANNELS), pytest.raises(Refused) as refused:
        validated(NotificationRequest(**{"channel": "slack", "message": "hello", **fields}))
    (problem,) = refused.value.problems
    assert problem.field == "metadata"
    return problem.code


@pytest.mark.parametrize(
    "value", [None, True, False, [], {}, b"bytes", math.nan, math.inf, -math.inf, object(), 1j], ids=repr
)
def test_metadata_holds_texts_and_numbers_that_json_has(value: object) -> None:
    assert refusal(metadata={"a": "b", "c": value}) == "invalid"


@pytest.mark.parametrize("name", [1, None, ("a",)])
def test_a_name_in_metadata_is_a_text(name: object) -> None:
    assert refusal(metadata={name: "b"}) == "invalid"
    assert refusal(metadata={name: 1.5}) == "invalid"


@pytest.mark.parametrize("words", ["a\x00b", "\ud800", "a\udc00"])
def test_metadata_holds_nothing_that_cannot_be_stored(words: str) -> None:
    assert refusal(metadata={"a": words}) == refusal(metadata={words: 1.5}) == "invalid_characters"


@pytest.mark.parametrize("number", [10**4_089, -(10**4_089), 10**5_000, -(10**10_000)], ids=lambda number: "")
def test_a_number_may_have_as_many_digits_as_there_is_room_for(number: int) -> None:
    assert refusal(metadata={"a": number}) == "max_length"


def test_whatever_is_wrong_with_its_values_is_said_before_its_length() -> None:
    assert refusal(metadata={"a": 10**10_000, "b": None}) == "invalid"


@pytest.mark.parametrize(
    ("metadata", "written"),
    [
        ({}, "{}"),
        ({"b": 1, "a": "é\n\x7f"}, '{"a": "é\\n\x7f", "b": 1}'),
        (
            {"a": 1.0, "b": 1e22, "c": 1e-7, "d": -0.0, "e": 0.1},
            '{"a": 1, "b": 1' + "0" * 22 + ', "c": 0.0000001, "d": 0, "e": 0.1}',
        ),
        ({"\U0001f600": 1, "\uffff": 2}, '{"\uffff": 2, "\U0001f600": 1}'),
    ],
)
def test_metadata_has_one_form(metadata: dict[str, Any], written: str) -> None:
    assert canonical(metadata) == canonical(MappingProxyType(metadata)) == written


def test_half_a_surrogate_pair_has_a_fingerprint_though_nobody_accepts_it() -> None:
    assert len(NotificationRequest(channel="slack", message="\ud800").fingerprint()) == 32


def test_what_the_web_takes_for_a_correlation_id_is_one_to_the_service() -> None:
    assert CORRELATION_ID.pattern == middleware._SAFE.pattern.replace("{1,", "{0,")
