"""How things went in the past hour, six hours or day, from the minutes' tallies, and how they stand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import DateTimeField, F, Func, Max, Sum, Value

from channels.registry import channels
from notifications.metrics import BOUND_NAMES
from notifications.models import Tally

# What can be looked at, and into what steps it is divided: sixty to a hundred points are as many as a chart can show.
PERIODS: Final[Mapping[str, tuple[timedelta, timedelta]]] = {
    "hour": (timedelta(hours=1), timedelta(minutes=1)),
    "6h": (timedelta(hours=6), timedelta(minutes=5)),
    "day": (timedelta(days=1), timedelta(minutes=15)),
}
CURVES: Final = ("accepted", "sent", "failed", "waiting")
_SAMPLES: Final = ("waiting", "oldest")  # the last of each minute; all else is added up
QUANTILES: Final = (0.5, 0.95, 0.99)
_BOUNDS: Final = tuple(map(float, BOUND_NAMES))
_CODES: Final = ("failed", "unknown", "undelivered", "retried")


@dataclass(frozen=True, slots=True)
class Code:
    """How often what provider's error came."""

    channel: str
    kind: str  # failed, unknown or undelivered; retried: it is tried again
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Past:
    """A period, in steps that have no gaps."""

    steps: list[datetime]
    minutes: int  # that one step is long
    curves: dict[str, list[float]]  # by CURVES: notifications a minute, and of `waiting` the most of each step
    latency: list[tuple[float | None, ...]]  # seconds from commit to provider by QUANTILES, of each step
    overall: tuple[float | None, ...]  # the same of the whole period
    totals: dict[str, int]  # accepted, sent, failed
    codes: list[Code]  # most frequent first


def past(period: str, channel: str = "", *, now: datetime | None = None) -> Past:
    """Of one channel, or all; `period` is one of PERIODS. What test keys sent is in none."""
    length, step = PERIODS[period]
    now = now or datetime.now(UTC)
    until = datetime.fromtimestamp(now.timestamp() // 60 * 60 + 60, UTC)
    steps = [until - length + number * step for number in range(length // step)]
    minutes = step // timedelta(minutes=1)
    curves: dict[str, list[float]] = {name: [0.0] * len(steps) for name in CURVES}
    buckets: list[Counter[float]] = [Counter() for _ in steps]
    totals: Counter[str] = Counter()
    codes: Counter[tuple[str, str, str]] = Counter()
    waiting: defaultdict[tuple[int, str], int] = defaultdict(int)
    for begun, of, kind, code, count, most in _rows(steps[0], until, step, channel):
        place = (begun - steps[0]) // step
        if kind in _SAMPLES:
            if kind == "waiting":
                waiting[place, of] = most
        elif kind == "latency":
            buckets[place][float(code)] += count
        else:
            if kind in curves:
                curves[kind][place] += count / minutes
                totals[kind] += count
            if kind in _CODES and code:
                codes[of, kind, code] += count
    for (place, _), most in waiting.items():
        curves["waiting"][place] += most
    return Past(
        steps=steps,
        minutes=minutes,
        curves=curves,
        latency=[quantiles(bucket) for bucket in buckets],
        overall=quantiles(sum(buckets, Counter())),
        totals={name: totals[name] for name in CURVES if name != "waiting"},
        codes=[Code(*key, count) for key, count in sorted(codes.items(), key=lambda found: (-found[1], found[0]))],
    )


def quantiles(buckets: Mapping[float, int]) -> tuple[float | None, ...]:
    """By QUANTILES, from counts by their bucket's upper bound in seconds; None where nothing was counted.

    Within a bucket as if all were spread evenly. What lies in the last, which has no bound, is told as its lower one.
    """
    total = sum(buckets.values())
    if not total:
        return (None,) * len(QUANTILES)
    bounds = sorted({*_BOUNDS, *buckets})
    return tuple(_quantile(buckets, bounds, share * total) for share in QUANTILES)


def _quantile(buckets: Mapping[float, int], bounds: Sequence[float], rank: float) -> float:
    passed, lower = 0, 0.0
    for bound in bounds:
        count = buckets.get(bound, 0)
        if count and passed + count >= rank:
            return lower if bound == float("inf") else lower + (bound - lower) * (rank - passed) / count
        passed, lower = passed + count, bound
    return lower


def _rows(
    since: datetime, until: datetime, step: timedelta, channel: str
) -> Iterable[tuple[datetime, str, str, str, int, int]]:
    """(step, channel, kind, code, sum, most): a few dozen of each step, along the primary key from `since` on."""
    begun: Any = Func(Value(step), F("minute"), Value(since), function="date_bin", output_field=DateTimeField())
    rows = Tally.objects.filter(minute__gte=since, minute__lt=until)
    rows = rows.filter(channel=channel) if channel else rows.filter(channel__in=sorted(channels()))
    grouped: Any = rows.annotate(begun=begun).values("begun", "channel", "kind", "code")
    told: Iterable[tuple[datetime, str, str, str, int, int]] = grouped.annotate(
        sum=Sum("count"), most=Max("count")
    ).values_list("begun", "channel", "kind", "code", "sum", "most")
    return told
