from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.http_once import LEAST_PATIENCE, MOST_PATIENCE, Answer

OTHERWISE = timedelta(seconds=17)


def asked(raw: str, **headers: str) -> timedelta:
    return Answer(429, {"Retry-After": raw, **headers}, "").retry_after(OTHERWISE)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("30", timedelta(seconds=30)),
        (" 30 ", timedelta(seconds=30)),
        ("1.5", timedelta(seconds=1.5)),
        ("0", LEAST_PATIENCE),
        ("999999999", MOST_PATIENCE),
        ("", OTHERWISE),
        ("soon", OTHERWISE),
        ("-5", OTHERWISE),
        ("1e9", OTHERWISE),
        ("٣٠", OTHERWISE),
        ("9" * 5000, OTHERWISE),
    ],
)
def test_seconds_are_kept_within_reason(raw: str, expected: timedelta) -> None:
    assert asked(raw) == expected


def test_a_date_is_read_against_the_senders_clock() -> None:
    now = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    until = format_datetime(now + timedelta(minutes=2), usegmt=True)
    assert asked(until, Date=format_datetime(now, usegmt=True)) == timedelta(minutes=2)


def test_a_date_without_a_clock_is_read_against_ours() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    assert timedelta(minutes=1) < asked(until) <= timedelta(minutes=2)


def test_a_date_that_is_past_still_asks_for_a_moment() -> None:
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == LEAST_PATIENCE


@given(st.text(), st.text())
def test_whatever_a_provider_says_comes_out_within_reason(raw: str, date: str) -> None:
    assert LEAST_PATIENCE <= asked(raw, Date=date) <= MOST_PATIENCE
