"""What is counted, as Prometheus and the charts take it; and the folder that processes share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Histogram

from notifications import metrics
from notifications.metrics import BOUNDS, ManyHistogram
from notifier import broker, metrics_dir

VALUES = (0.0, 0.001953125, 0.00390625, 0.005, 0.0078125, 0.3125, 0.3125, 7.0, 300.0, 301.0, 1e6)


def histograms() -> tuple[Histogram, ManyHistogram]:
    return (
        Histogram("one", "by one", buckets=BOUNDS, registry=CollectorRegistry()),
        ManyHistogram("one", "by one", buckets=BOUNDS, registry=CollectorRegistry()),
    )


@pytest.mark.parametrize("values", [(), VALUES[:1], VALUES, VALUES[::-1]])
def test_many_at_once_are_observed_as_they_are_one_by_one(values: tuple[float, ...]) -> None:
    one_by_one, many = histograms()

    for value in values:
        one_by_one.observe(value)
    counts = many.observe_many(values)

    def samples(of: Histogram) -> dict[tuple[str, str | None], float]:
        found = [each for family in of.collect() for each in family.samples]
        return {(each.name, each.labels.get("le")): each.value for each in found}

    assert samples(many) == pytest.approx(samples(one_by_one))  # the sum's last digit depends on the order
    assert sum(counts) == len(values)
    assert len(counts) == len(metrics.BOUND_NAMES)


def test_the_names_of_the_buckets_are_those_that_charts_know() -> None:
    assert " ".join(metrics.BOUND_NAMES) == "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 300 +Inf"


def test_codes_without_end_are_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_CODES", len(metrics._attempts))

    one = metrics.attempts("slack", "permanent", "of many")

    assert one is metrics.attempts("slack", "permanent", "of more")


def test_the_broker_brings_no_metrics_of_its_own() -> None:
    built = broker.build("redis://127.0.0.1:1", ["slack"])

    assert not built.middleware


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told to prometheus_client is undone."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))


def test_the_folder_is_made_for_us_alone(tmp_path: Path, told: None) -> None:
    folder = tmp_path / "a" / "metrics"

    assert metrics_dir.prepare(folder) == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(folder)


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, told: None) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path)

    assert "cannot be made" in metrics_dir.prepare(tmp_path / "file" / "metrics")
    assert "open to all" in metrics_dir.prepare(tmp_path / "open")
    assert "no folder" in metrics_dir.prepare(tmp_path / "link")
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_every_process_comes_to_the_same_folder_and_another_service_to_another(tmp_path: Path) -> None:
    ours = metrics_dir.choose("", tmp_path, "postgresql://ours/notifier")

    assert ours == metrics_dir.choose("", tmp_path / "x", "postgresql://ours/notifier")
    assert ours != metrics_dir.choose("", tmp_path, "postgresql://ours/other")
    assert "ours" not in str(ours)
    assert metrics_dir.choose("", tmp_path, "") == tmp_path / "metrics"
    assert metrics_dir.choose("/somewhere", tmp_path, "") == Path("/somewhere")


def test_only_what_prometheus_left_is_emptied(tmp_path: Path) -> None:
    for name in ("counter_1.db", "histogram_12.db", "my_own.db", "notes"):
        (tmp_path / name).touch()

    metrics_dir.empty(tmp_path)

    assert {each.name for each in tmp_path.iterdir()} == {"my_own.db", "notes"}


def test_a_file_that_has_only_just_been_made_fails_no_scrape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counter_4711.db").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert list(metrics.registry().collect()) == []
