"""/metrics in this process: what the database says, and what is said while it is away."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client as Browser
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from notifications import metrics as counted
from notifications.api import metrics
from notifications.api.metrics import Standing
from notifications.models import Chore, LaneState, Operation, Worker
from notifications.outbox import gauges
from tests.factories import NotificationFactory

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nothing_seen_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "AT_LEAST", 0.0)
    monkeypatch.setattr(metrics, "SHARE", 0)


def scraped(browser: Browser) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = browser.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (each.name, tuple(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


@pytest.mark.django_db
def test_the_gauges_say_how_things_stand(client: Browser) -> None:
    NotificationFactory(channel="slack", lane="slack:ops")
    NotificationFactory(channel="slack", lane="slack:ops", due_at=timezone.now() + timedelta(hours=1))
    NotificationFactory(channel="sms", lane="sms", status="failed", finished_at=timezone.now())
    NotificationFactory(channel="sms", lane="~test:sms", status="failed", finished_at=timezone.now())
    NotificationFactory(channel="email", lane="email", status="unknown")
    now = timezone.now()
    LaneState.objects.create(lane="sms", paused_until=now, reason="rate_limited")
    LaneState.objects.create(lane="slack", paused_until=now, reason="", stopped_until=now + timedelta(hours=1))
    Worker.objects.create(id=uuid4(), beat=0, host="here", pid=1, started_at=now)
    Operation.objects.create(actor="ann", via="admin", act="resend", state="running")
    Operation.objects.create(actor="ann", via="admin", act="resend", state="done")

    for chore in ("purge", "redact"):  # without REDACT_AFTER_DAYS that is not done
        Chore.objects.create(name=chore, last_at=now - timedelta(hours=3))

    found = scraped(client)

    assert found["notifier_database_up", ()] == 1
    ages = {labels: value for (name, labels), value in found.items() if name == "notifier_chore_age_seconds"}
    assert ages == {("purge",): pytest.approx(3 * 3600, abs=60)}, "what is switched off is not late"
    assert found["notifier_waiting", ("slack:ops",)] == 2
    assert found["notifier_oldest_waiting_seconds", ("slack:ops",)] >= 0
    attention = {labels: value for (name, labels), value in found.items() if name == "notifier_attention"}
    assert attention == {("sms", "failed"): 1, ("~test:sms", "failed"): 1, ("email", "unknown"): 1}
    paused = {labels for name, labels in found if name == "notifier_lane_paused"}
    assert paused == {("provider", "sms"), ("operator", "slack")}
    assert found["notifier_workers", ()] == 1
    assert found["notifier_operations_unfinished", ()] == 1


@pytest.mark.django_db
def test_the_database_is_not_asked_as_often_as_anybody_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "AT_LEAST", 60.0)
    standing = Standing()
    first = standing.read()

    NotificationFactory(lane="slack:new")

    assert standing.read() is first


def test_the_docs_name_what_is_exported() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)^\| `(notifier_\w+)` \|", text))
    counted.claim_seconds(), counted.record_seconds(), counted.lease_losses()
    ours = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in counted.REGISTRY.collect()
    }
    families = {each.name for each in metrics._families(gauges.Gauges())} | {"notifier_database_up"}

    assert named == ours | families
    assert all(name.startswith("notifier_") for name in named)
