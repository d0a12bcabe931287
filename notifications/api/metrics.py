"""`/metrics`: what all processes that share the folder have counted, and how things stand in the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from notifications import chores
from notifications import metrics as counted
from notifications.beating import workers_alive
from notifications.outbox import gauges
from notifications.outbox.gauges import MOST_COUNTED, Gauges

# Anybody who reaches this address may ask: however many do, the database is asked for a twentieth of the time at most.
SHARE: Final = 20
AT_LEAST: Final = 1.0  # seconds between two looks of one process

log = structlog.get_logger(__name__)


class Standing:
    """How things stood a moment ago; None while the database is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._last: Gauges | None = None

    def read(self) -> Gauges | None:
        with self._lock:
            began = monotonic()
            if began >= self._until:
                try:
                    self._last = gauges.read()
                    self._last.workers = workers_alive()
                except (DatabaseError, InterfaceError) as error:
                    log.warning("metrics.no_database", error=type(error).__name__)
                    self._last = None
                ended = monotonic()
                self._until = ended + max(AT_LEAST, SHARE * (ended - began)) if self._last else ended
            return self._last


class Database(Collector):
    """Its gauges; none but `notifier_database_up` while it is away."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def describe(self) -> list[Metric]:
        return []  # registering it asks nothing

    def collect(self) -> Iterator[Metric]:
        seen = self._standing.read()
        yield GaugeMetricFamily("notifier_database_up", "Whether the database answers.", float(seen is not None))
        if seen is not None:
            yield from _families(seen)


def _families(seen: Gauges) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "notifier_waiting",
        f"Notifications that are pending, those for later included, at most {MOST_COUNTED:,} of each lane.",
        labels=["lane"],
    )
    oldest = GaugeMetricFamily(
        "notifier_oldest_waiting_seconds", "Seconds for which the oldest due one has waited.", labels=["lane"]
    )
    attention = GaugeMetricFamily(
        "notifier_attention",
        f"Notifications that failed or whose outcome is unknown, of the newest {MOST_COUNTED:,} such of each channel.",
        labels=["channel", "status"],
    )
    paused = GaugeMetricFamily("notifier_lane_paused", "1 while nothing is sent in it.", labels=["lane", "by"])
    for lane, number in seen.waiting.items():
        waiting.add_metric([lane], number)
    for lane, seconds in seen.oldest.items():
        oldest.add_metric([lane], seconds)
    for (channel, status), number in seen.attention.items():
        attention.add_metric([channel, status], number)
    for lane, by in sorted(seen.paused):
        paused.add_metric([lane, by], 1)
    yield from (waiting, oldest, attention, paused)
    done = GaugeMetricFamily(
        "notifier_chore_age_seconds", "Since each of what workers do every hour was done.", labels=["chore"]
    )
    for chore in sorted(seen.chores.keys() & chores.wanted().keys()):  # one that was switched off is not late
        done.add_metric([chore], seen.chores[chore])
    yield done
    yield GaugeMetricFamily("notifier_workers", "Worker processes whose beat rises.", seen.workers)
    yield GaugeMetricFamily(
        "notifier_operations_unfinished", "Operators' acts on many notifications that go on.", seen.operations
    )


_database: Final = CollectorRegistry(auto_describe=False)
_database.register(Database(Standing()))


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Always 200: a scrape that fails because the database does would hide everything else."""
    body = generate_latest(counted.registry()) + generate_latest(_database)
    return HttpResponse(body, content_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})
