"""What Prometheus and Grafana are told to look at is what is exported, and leads to a page that is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from notifications.states import Outcome
from tests.unit.test_operating import SECTIONS, anchor

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
ALERTS_TEST = ROOT / "deploy" / "prometheus" / "alerts_test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "notifier.json"

# Name of each metric, as it is scraped, and its labels.
EXPORTED = {
    "notifier_accepted_total": {"channel"},
    "notifier_replayed_by_key_total": {"channel"},
    "notifier_attempts_total": {"channel", "outcome", "code"},
    "notifier_possible_duplicates_total": {"channel"},
    "notifier_late_results_total": {"channel"},
    "notifier_nudges_total": {"result"},
    "notifier_lease_losses_total": set(),
    "notifier_commit_to_provider_seconds": {"channel"},
    "notifier_claim_seconds": set(),
    "notifier_record_seconds": set(),
    "notifier_waiting": {"lane"},
    "notifier_oldest_waiting_seconds": {"lane"},
    "notifier_attention": {"channel", "status"},
    "notifier_workers": set(),
    "notifier_lane_paused": {"lane", "by"},
    "notifier_operations_unfinished": set(),
    "notifier_chore_age_seconds": {"chore"},
    "notifier_database_up": set(),
}
HISTOGRAMS = {"notifier_commit_to_provider_seconds", "notifier_claim_seconds", "notifier_record_seconds"}
OF_PROMETHEUS = {"up": {"job", "instance"}}
SCRAPED = {"job", "instance"}  # labels that the scrape itself gives


@cache
def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@cache
def dashboard() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return parsed


def targets() -> list[tuple[str, dict[str, Any]]]:
    return [(panel["title"], target) for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def expressions() -> dict[str, str]:
    """By where they stand; Grafana's variables have a value."""
    found = {name: str(rule["expr"]) for name, rule in rules().items()}
    for title, target in targets():
        found[f"{title} {target['refId']}"] = target["expr"].replace("$__rate_interval", "5m").replace("$channel", ".*")
    return found


def known(name: str) -> set[str] | None:
    """The labels of a metric by the name of one of its series; None where it is not exported."""
    base, _, end = name.rpartition("_")
    if base in HISTOGRAMS and end in {"bucket", "sum", "count"}:
        return EXPORTED[base] | ({"le"} if end == "bucket" else set())
    return None if name in HISTOGRAMS else (EXPORTED | OF_PROMETHEUS).get(name)


def series(expression: str) -> list[tuple[str, str]]:
    """Every metric that it names, and what it selects of that."""
    return re.findall(r"\b(notifier_\w+|up)\b(?:\{([^}]*)\})?", expression)


@pytest.mark.parametrize("place", sorted(expressions()))
def test_what_is_asked_for_is_exported(place: str) -> None:
    expression = expressions()[place]
    labels = SCRAPED | set(re.findall(r'"(\w+)", "\$1"', expression))  # what label_replace makes
    assert series(expression)
    for name, selected in series(expression):
        has = known(name)
        assert has is not None, name
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selected)) <= has | SCRAPED
        labels |= has
    grouped = {label for each in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for label in each.split(",")}
    assert {label.strip() for label in grouped} <= labels


@pytest.mark.parametrize(("title", "target"), targets(), ids=lambda value: str(value)[:40])
def test_a_legend_has_the_labels_that_are_left(title: str, target: dict[str, Any]) -> None:
    kept = {label.strip() for each in re.findall(r"\bby\s*\(([^)]*)\)", target["expr"]) for label in each.split(",")}
    assert set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"])) <= kept


def test_everything_that_is_exported_is_shown_or_alerted_on() -> None:
    asked = " ".join(expressions().values())
    assert [name for name in EXPORTED if name not in asked] == []


@pytest.mark.parametrize(
    "outcome", sorted(set(re.findall(r'outcome[!=~]+"([^"]+)"', " ".join(expressions().values()))))
)
def test_an_outcome_that_is_asked_for_is_one_of_ours(outcome: str) -> None:
    assert set(outcome.split("|")) <= set(Outcome)


@pytest.mark.parametrize("alert", sorted(rules()))
def test_an_alert_says_what_is_wrong_and_leads_to_its_runbook(alert: str) -> None:
    rule = rules()[alert]
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, place = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operating.md"
    [section] = [section for section in SECTIONS if anchor(section.splitlines()[0]) == place]
    assert f"`{alert}`" in section
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["for"]


def test_every_alert_is_tried() -> None:
    tried = yaml.safe_load(ALERTS_TEST.read_text(encoding="utf-8"))["tests"]
    fired = {each["alertname"] for test in tried for each in test["alert_rule_test"] if each["exp_alerts"]}
    assert fired == set(rules())


def test_panels_ask_the_chosen_data_source_and_do_not_overlap() -> None:
    assert {each["name"] for each in dashboard()["templating"]["list"]} == {"datasource", "channel"}
    assert {target["datasource"]["uid"] for _, target in targets()} == {"${datasource}"}
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard()["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install --no-install-recommends prometheus)")
    return found


def test_the_alerts_are_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_the_alerts_fire_when_they_should(promtool: str) -> None:
    done = subprocess.run([promtool, "test", "rules", ALERTS_TEST], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_panels_ask_is_promql(promtool: str, tmp_path: Path) -> None:
    asked = [{"record": f"panel_{n}", "expr": expression} for n, expression in enumerate(expressions().values())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
