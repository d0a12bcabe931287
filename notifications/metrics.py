"""What this process counts for Prometheus: every name is in docs/metrics.md, and what it costs.

Where the settings have set PROMETHEUS_MULTIPROC_DIR (they come first: notifier/metrics_dir.py) each process writes into
a file of its own in that folder, and whoever is scraped adds up what is there. Everything is counted many at once where
many are had at once, and no child is looked up by its labels twice.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.multiprocess import MultiProcessCollector

# Codes are the providers', and nobody promises that these have few: a series is kept for each, for ever.
MOST_CODES: Final = 1000  # combinations of channel, outcome and code in one process
OTHER: Final = "other"
# Seconds. The tallies' latencies have the same, so that the charts and Prometheus say the same.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
BOUND_NAMES: Final = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
_STATEMENT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, of no use beside the counters' own resets

REGISTRY: Final = CollectorRegistry()


Metric = TypeVar("Metric")


def registry() -> CollectorRegistry:
    """What a scrape shows: all processes that share the folder, those that are dead included; else this one alone."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    if not folder or not Path(folder).is_dir():
        return REGISTRY
    together = CollectorRegistry()
    Begun(together, folder)  # type: ignore[no-untyped-call]  # the library types little of this
    return together


class Begun(MultiProcessCollector):
    """Passes over files that a process has only just made, or was killed while it did: they have no head to be read."""

    def collect(self) -> Iterable[PrometheusMetric]:
        files = [str(file) for file in Path(self._path).glob("*.db") if _size(file)]
        found: Iterable[PrometheusMetric] = self.merge(files, accumulate=True)  # type: ignore[no-untyped-call]  # as above
        return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # somebody has emptied the folder since it was listed
        return 0


def _first_used(make: Callable[[], Metric]) -> Callable[[], Metric]:
    """One without labels would open its file at import: every management command would leave some behind."""
    lock, made = threading.Lock(), list[Metric]()

    def get() -> Metric:
        if not made:
            with lock:
                if not made:
                    made.append(make())
        return made[0]

    return get


class ManyHistogram(Histogram):
    """A histogram that takes many values for the price of a few."""

    def observe_many(self, values: Sequence[float]) -> list[int]:
        """Observe them all; how many fell into each bucket, the one above all bounds last."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]  # as above
        ordered = sorted(values)
        counts, before = [], 0
        for place, bound in enumerate(self._upper_bounds):
            below = bisect_right(ordered, bound, before) if before < len(ordered) else before
            if below > before:
                self._buckets[place].inc(below - before)
            counts.append(below - before)
            before = below
        self._sum.inc(sum(ordered))
        return counts


ACCEPTED: Final = Counter(
    "notifier_accepted",
    "Notifications that web and in-process callers had committed.",
    ["channel"],
    registry=REGISTRY,
)
REPLAYED: Final = Counter(
    "notifier_replayed_by_key",
    "Notifications that were asked for again under a key that had been used for them, and answered as before.",
    ["channel"],
    registry=REGISTRY,
)
ATTEMPTS: Final = Counter(
    "notifier_attempts",
    "Attempts that were recorded, by what came of them and the error code, if any.",
    ["channel", "outcome", "code"],
    registry=REGISTRY,
)
POSSIBLE_DUPLICATES: Final = Counter(
    "notifier_possible_duplicates",
    "Sends of what an earlier attempt may have delivered already.",
    ["channel"],
    registry=REGISTRY,
)
LATE_RESULTS: Final = Counter(
    "notifier_late_results",
    "Results that came after their claim had been taken away, and changed no status.",
    ["channel"],
    registry=REGISTRY,
)
NUDGES: Final = Counter(
    "notifier_nudges", "Broker messages that wake a worker: sent, or failed.", ["result"], registry=REGISTRY
)
lease_losses: Final = _first_used(
    lambda: Counter(
        "notifier_lease_losses", "Worker leases that were found to be gone at a renewal.", registry=REGISTRY
    )
)
COMMIT_TO_PROVIDER: Final = ManyHistogram(
    "notifier_commit_to_provider_seconds",
    "Seconds from when a notification was due until its first send began, by the database's clock up to the claim.",
    ["channel"],
    buckets=BOUNDS,
    registry=REGISTRY,
)
claim_seconds: Final = _first_used(
    lambda: Histogram("notifier_claim_seconds", "Seconds that one claim took.", buckets=_STATEMENT, registry=REGISTRY)
)
record_seconds: Final = _first_used(
    lambda: Histogram(
        "notifier_record_seconds",
        "Seconds that one record of results took, without the pauses before another try.",
        buckets=_STATEMENT,
        registry=REGISTRY,
    )
)

# Where a channel's name is asked of a lane's, as `channels.registry.channel_row` gives it.
accepted: Final = cache(ACCEPTED.labels)
replayed: Final = cache(REPLAYED.labels)
possible_duplicates: Final = cache(POSSIBLE_DUPLICATES.labels)
late_results: Final = cache(LATE_RESULTS.labels)
nudges: Final = cache(NUDGES.labels)
commit_to_provider: Final = cache(COMMIT_TO_PROVIDER.labels)

_attempts: Final[dict[tuple[str, str, str], Counter]] = {}


def attempts(channel: str, outcome: str, code: str) -> Counter:
    """Of a code that is one too many, the child of all the others."""
    known = _attempts.get((channel, outcome, code))
    if known is None:
        if len(_attempts) >= MOST_CODES:
            return ATTEMPTS.labels(channel, outcome, OTHER)
        known = _attempts[channel, outcome, code] = ATTEMPTS.labels(channel, outcome, code)
    return known
