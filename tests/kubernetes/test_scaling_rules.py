"""The way of a number: from /metrics by the recording rules and the adapter to an autoscaler."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client as Browser

from channels.registry import channels
from notifications.models import LaneState
from tests.factories import NotificationFactory
from tests.kubernetes.conftest import FOLDER, Render
from tests.kubernetes.manifests import Manifests

Rules = list[dict[str, Any]]


@pytest.fixture(scope="session")
def production(render: Render) -> Manifests:
    return Manifests.parse(render("overlays/production"))


@pytest.fixture(scope="session")
def rules(production: Manifests) -> Rules:
    [rule] = production.of("PrometheusRule")
    [group] = rule["spec"]["groups"]
    found: Rules = group["rules"]
    return found


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install --no-install-recommends prometheus)")
    return found


def asked_of_the_service(rules: Rules) -> Iterator[tuple[str, set[str]]]:
    """Each metric of ours in the rules' expressions, and the labels that it is filtered by."""
    recorded = {rule["record"] for rule in rules}
    for rule in rules:
        for name, matchers in re.findall(r"\b(notifier_\w+)(?:\{([^}]*)\})?", rule["expr"]):
            if name not in recorded:
                yield name, set(re.findall(r"(\w+)\s*[=!]", matchers))


@pytest.mark.django_db
def test_the_rules_ask_for_what_the_service_tells(rules: Rules, client: Browser, transactional_lane: None) -> None:
    told = client.get("/metrics").content.decode()
    labels = {name: set(re.findall(r'(\w+)="', rest)) for name, rest in re.findall(r"(?m)^(notifier_\w+)(\{.*)?", told)}
    asked = dict(asked_of_the_service(rules))
    assert len(asked) == 4
    for name, filtered in asked.items():
        assert filtered <= labels[name]
    assert labels["notifier_waiting"] == {"lane"}  # by which the rules tell the channel
    assert labels["notifier_oldest_waiting_seconds"] == {"lane"}
    assert "lane" in labels["notifier_lane_paused"]


@pytest.fixture
def transactional_lane(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something waits, and something is paused; nothing that was seen before is believed."""
    from notifications.api import metrics

    monkeypatch.setattr(metrics, "AT_LEAST", 0.0)
    monkeypatch.setattr(metrics, "SHARE", 0)
    NotificationFactory(channel="slack", lane="slack:ops")
    notification = NotificationFactory(channel="sms")
    LaneState.objects.create(lane="sms", paused_until=notification.created_at, reason="rate_limited")


def test_every_channel_has_its_zero(rules: Rules) -> None:
    nothing = [rule["labels"]["channel"] for rule in rules if rule["record"] == "notifier_channel_nothing"]
    assert sorted(nothing) == sorted(channels())


def test_the_adapter_hands_out_what_the_autoscalers_ask_for(production: Manifests, rules: Rules) -> None:
    values = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    [external] = values["rules"]["external"]
    [pattern] = re.findall(r'__name__=~"([^"]*)"', external["seriesQuery"])
    recorded = {rule["record"] for rule in rules}
    handed_out = {name for name in recorded if re.fullmatch(pattern, name)}
    asked = {
        metric["external"]["metric"]["name"]
        for autoscaler in production.of("HorizontalPodAutoscaler")
        for metric in autoscaler["spec"]["metrics"]
        if metric["type"] == "External"
    }
    assert asked == handed_out
    assert len(asked) == 2
    assert "by (channel)" in external["metricsQuery"]
    assert "<<.LabelMatchers>>" in external["metricsQuery"]  # the autoscaler's channel and namespace
    for name in asked:
        assert all("by (namespace, channel)" in rule["expr"] for rule in rules if rule["record"] == name)


def test_the_alerts_find_the_job_by_its_name(production: Manifests) -> None:
    [monitor] = production.of("ServiceMonitor")
    [service] = production.of("Service")
    alerts = (FOLDER.parent / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    assert f'job="{service["metadata"]["labels"][monitor["spec"]["jobLabel"]]}"' in alerts
    [workers] = production.of("PodMonitor")
    assert "jobLabel" not in workers["spec"]  # so theirs is another: namespace/name


Samples = tuple[tuple[str, str, str], ...]  # metric, labels, value
Expected = dict[str, dict[str, int]]  # by metric and channel

NAMESPACE = 'namespace="notifier"'
TOLD: Samples = (
    ("notifier_database_up", "", "1"),
    # Slack: two lanes are open, one is paused, one waits for tomorrow.
    ("notifier_oldest_waiting_seconds", 'lane="slack:ops"', "40"),
    ("notifier_waiting", 'lane="slack:ops"', "300"),
    ("notifier_oldest_waiting_seconds", 'lane="slack:dev"', "12"),
    ("notifier_waiting", 'lane="slack:dev"', "7"),
    ("notifier_oldest_waiting_seconds", 'lane="slack:down"', "9000"),
    ("notifier_waiting", 'lane="slack:down"', "50000"),
    ("notifier_lane_paused", 'lane="slack:down",by="provider"', "1"),
    ("notifier_oldest_waiting_seconds", 'lane="slack:tomorrow"', "0"),
    ("notifier_waiting", 'lane="slack:tomorrow"', "100000"),
    ("notifier_oldest_waiting_seconds", 'lane="~test:slack:ops"', "800"),
    ("notifier_waiting", 'lane="~test:slack:ops"', "8000"),
    # SMS: all of the channel is paused, its backup's lane included.
    ("notifier_oldest_waiting_seconds", 'lane="sms@apprise"', "700"),
    ("notifier_waiting", 'lane="sms@apprise"', "70"),
    ("notifier_lane_paused", 'lane="sms",by="operator"', "1"),
    # Email by its second provider.
    ("notifier_oldest_waiting_seconds", 'lane="email@resend"', "5"),
    ("notifier_waiting", 'lane="email@resend"', "20"),
)
EXPECTED: Expected = {
    "notifier_channel_oldest_seconds": {"slack": 40, "sms": 0, "email": 5, "apprise": 0, "webhook": 0},
    "notifier_channel_waiting": {"slack": 307, "sms": 0, "email": 20, "apprise": 0, "webhook": 0},
}


def judged(promtool: str, rules: Rules, folder: Path, told: Samples, expected: Expected) -> None:
    """After a minute of what two web servers tell alike."""
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "under test", "rules": rules}]}))
    series = [
        {"series": f"{name}{{{','.join(filter(None, (NAMESPACE, labels, pod)))}}}", "values": f"{value}x4"}
        for pod in ('pod="a"', 'pod="b"')
        for name, labels, value in told
    ]
    found = [
        {
            "expr": metric,
            "eval_time": "1m",
            "exp_samples": [
                {"labels": f'{metric}{{{NAMESPACE},channel="{channel}"}}', "value": value}
                for channel, value in by_channel.items()
            ],
        }
        for metric, by_channel in expected.items()
    ]
    test = {"input_series": series, "interval": "15s", "promql_expr_test": found}
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_open_lanes_and_due_ones_are_what_counts(promtool: str, rules: Rules, tmp_path: Path) -> None:
    judged(promtool, rules, tmp_path, TOLD, EXPECTED)


def test_while_the_database_is_away_nobody_is_sent_home(promtool: str, rules: Rules, tmp_path: Path) -> None:
    """An autoscaler without a number changes nothing; a zero would have it send the workers away."""
    nothing: Expected = {metric: {} for metric in EXPECTED}
    judged(promtool, rules, tmp_path, (("notifier_database_up", "", "0"),), nothing)
