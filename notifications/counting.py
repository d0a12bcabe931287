"""Whatever is counted for both, Prometheus and the charts: by channel, with the mark of tests, many at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

from channels.registry import MARK, channel_row
from notifications import metrics, tally
from notifications.metrics import BOUND_NAMES
from notifications.outbox.record import Result
from notifications.retry import ACCEPTED
from notifications.states import Outcome, Status

_RELEASED: Final = Outcome.RELEASED  # asked of every result, and an enum's members are slow to look up


def accepted(lanes: Sequence[str]) -> None:
    """Notifications of these lanes were committed."""
    for lane, count in Counter(lanes).items():
        channel = channel_row(lane)
        metrics.accepted(channel).inc(count)
        tally.add(channel, "accepted", count=count)


def replayed(body: bytes) -> None:
    """This answer was given once more."""
    shown = json.loads(body)
    named = Counter(
        (MARK if each.get("test") else "") + each["channel"] for each in shown.get("notifications", [shown])
    )
    for channel, count in named.items():
        metrics.replayed(channel).inc(count)
        tally.add(channel, "replayed", count=count)


def recorded(lane: str, results: Sequence[Result], late: Collection[UUID], *, claimed: float) -> None:
    """Results of one lane were written, some of them too late. `claimed`: the monotonic clock at their claim."""
    channel = channel_row(lane)
    if late:
        metrics.late_results(channel).inc(len(late))
        results = [result for result in results if result.claim.id not in late]
    plain = [result.code for result in results if result.decision is ACCEPTED]
    for code, count in Counter(plain).items():
        metrics.attempts(channel, "accepted", code).inc(count)
    sent = len(plain)
    began = results
    if sent < len(results):
        others = [result for result in results if result.decision is not ACCEPTED]
        began = [result for result in results if result.outcome is not _RELEASED]
        for (outcome, status, code), count in _came(others).items():
            metrics.attempts(channel, outcome, code).inc(count)
            if status == "sent":
                sent += count
            elif status != "pending":
                tally.add(channel, status, code, count)
            elif code:
                tally.add(channel, "retried", code, count)
    if sent:
        tally.add(channel, "sent", count=sent)
    claims = [result.claim for result in began]
    if doubled := sum([claim.possible_duplicate for claim in claims]):
        metrics.possible_duplicates(channel).inc(doubled)
    # A retry waits on purpose.
    waits = [
        claim.due_for + result.started - claimed
        for claim, result in zip(claims, began, strict=True)
        if claim.attempt == 1
    ]
    if waits:
        counts = metrics.commit_to_provider(channel).observe_many(waits)
        for name, count in zip(BOUND_NAMES, counts, strict=True):
            if count:
                tally.add(channel, "latency", name, count)


def reported(channel: str, status: Status | None, code: str = "") -> None:
    """A receipt has settled one notification."""
    if status is Status.DELIVERED:
        tally.add(channel, "delivered")
    elif status is Status.FAILED:
        tally.add(channel, "undelivered", code)


def expired(ended: Iterable[tuple[str, Status]]) -> None:
    """These, of such lanes, were pending for too long."""
    for (channel, status), count in Counter((channel_row(lane), status.value) for lane, status in ended).items():
        tally.add(channel, status, "expired", count)


def _came(results: Sequence[Result]) -> Counter[tuple[str, str, str]]:
    return Counter((each.outcome.value, each.decision.status.value, each.code) for each in results)
