"""The names that alerts and dashboard are held against (tests/unit/test_watching.py) are those of a real scrape."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as HttpClient
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from notifications import metrics as counted
from notifications.models import Chore, Worker
from notifications.outbox import lanes
from tests.factories import NotificationFactory
from tests.unit.test_watching import EXPORTED, HISTOGRAMS

OF_THE_DATABASE = {name for name in EXPORTED if name not in HISTOGRAMS and not name.endswith("_total")}


def collectors() -> Iterator[tuple[str, Any]]:
    """Everything that processes count, by its name as it is scraped."""
    for first_used in (counted.lease_losses, counted.claim_seconds, counted.record_seconds):
        first_used()
    for name, collector in counted.REGISTRY._names_to_collectors.items():
        if name in EXPORTED or name.endswith("_total"):
            yield name, collector


def test_what_is_counted_has_these_names_and_labels() -> None:
    found = {name: set(collector._labelnames) for name, collector in collectors()}
    assert found == {name: labels for name, labels in EXPORTED.items() if name not in OF_THE_DATABASE}


@pytest.mark.django_db(transaction=True)
def test_how_things_stand_has_these_names_and_labels() -> None:
    NotificationFactory(channel="sms", due_at=timezone.now() - timedelta(hours=1))
    NotificationFactory(channel="sms", status="failed")
    Worker.objects.create(host="a", pid=1, started_at=timezone.now())
    Chore.objects.create(name="purge")
    lanes.stop("sms", until=None, by="ann", reason="moving house")

    scraped = HttpClient().get("/metrics").content.decode()

    found = {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
        if sample.name in OF_THE_DATABASE
    }
    assert found == {name: EXPORTED[name] for name in OF_THE_DATABASE}
