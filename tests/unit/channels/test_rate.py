"""How a setting says how fast a lane is sent to."""

from __future__ import annotations

import pytest

from channels.rate import parse


@pytest.mark.parametrize(
    ("text", "interval", "burst"),
    [("1/s", 1.0, 1), ("10/s", 0.1, 10), ("100/m", 0.6, 1), ("600/m", 0.1, 10), ("3600/h", 1.0, 1), ("1/h", 3600.0, 1)],
)
def test_a_rate_is_an_interval_and_a_seconds_worth(text: str, interval: float, burst: int) -> None:
    rate = parse(text)

    assert rate is not None
    assert (rate.interval, rate.burst, str(rate)) == (pytest.approx(interval), burst, text)


@pytest.mark.parametrize("text", ["", "off"])
def test_none_is_no_limit(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", ["fast", "0/s", "1/d", "1.5/s", "-1/s", "1", "/s", "1/s ", "1000000000/s"])
def test_anything_else_is_refused_with_what_a_rate_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="1/s or 100/m"):
        parse(text)
