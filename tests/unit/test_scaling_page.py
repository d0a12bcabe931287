"""docs/scaling.md: its figures are those that were measured, and what follows from them."""

from __future__ import annotations

import pytest

from notifier.environment import BASE_DIR
from tests.bench.capacity import telling
from tests.bench.capacity.model import FILLED_TO, THREADS, Broker, Constants, Cost, Load, Singly, plan, spent
from tests.bench.ours import PROCESSES

NOTHING = Cost()
KNOWN = Constants(
    singly=[Singly(10, Cost(1_000, 4_000, 2_000, 3_000)), Singly(160, Cost(600, 2_000, 1_000, 2_000))],
    accept_in_batch=Cost(30, 0, 20, 900),
    dispatch=Cost(0, 900, 300, 1_800),
    purge=Cost(0, 0, 20, 300),
    web_second=NOTHING,
    worker_second=NOTHING,
    web_memory=100,
    worker_memory=100,
    session_memory=4,
    stored=800,
    key_stored=700,
    brokers={"a broker": Broker(each=500, second=10_000, memory=100)},
)


def test_the_page_has_the_tables_that_follow_from_what_was_measured() -> None:
    page = (BASE_DIR / "docs" / "scaling.md").read_text(encoding="utf-8")

    for table in telling.tables():
        assert table in page, f"docs/scaling.md lacks:\n{table}"


def test_the_model_foretells_the_loads_that_it_was_not_made_from() -> None:
    checks = telling.checks()

    assert {check["batch"] for check in checks} == {1, 100}
    for check in checks:
        for part in telling.PARTS:
            assert 0.75 <= check["foretold"][part] / check["measured"][part] <= 1.35, (check["batch"], part)


@pytest.mark.parametrize(
    ("rate", "web"),
    [(1, 1_000), (10, 1_000), (40, 800), (160, 600), (1_000, 600)],
    ids=["below what was measured", "as measured", "between", "as measured at last", "above"],
)
def test_one_by_itself_costs_what_was_measured_nearest(rate: float, web: float) -> None:
    """Halfway between two by their ratio: from 10 to 40 is as far as from 40 to 160."""
    cost = spent(Load(rate * PROCESSES, lanes=1), KNOWN, webs=PROCESSES, workers=PROCESSES)

    assert cost.web == pytest.approx(rate * PROCESSES * web)


def test_more_processes_have_less_company_each_and_lanes_share_nothing_in_postgres() -> None:
    load = Load(320, lanes=16)
    cost = spent(load, KNOWN, webs=2, workers=32)

    assert cost.web == pytest.approx(320 * 600)
    assert cost.worker == pytest.approx(320 * 4_000)
    assert cost.database == pytest.approx(320 * 2_000)


def test_of_a_batch_one_costs_what_a_single_one_does_and_the_others_their_part() -> None:
    cost = spent(Load(2_000, batch=100, lanes=1), KNOWN, webs=2, workers=2)

    assert cost.web == pytest.approx(20 * 1_000 + 1_980 * 30)
    assert cost.worker == pytest.approx(20 * 4_000 + 1_980 * 900)
    assert cost.wal == pytest.approx(20 * 3_000 + 1_980 * 2_700)


def test_a_plan_fills_nothing_beyond_its_share_and_has_two_of_each() -> None:
    least = plan(Load(1), KNOWN)
    assert (least.webs, least.workers) == (2, 2)

    by_processor = plan(Load(5_000, latency=0.01, lanes=1), KNOWN)
    assert by_processor.web_cores / by_processor.webs <= FILLED_TO
    assert by_processor.worker_cores / by_processor.workers <= FILLED_TO

    by_threads = plan(Load(200, latency=10), KNOWN)
    assert 200 * 10 / THREADS / by_threads.workers <= FILLED_TO


def test_a_broker_has_a_nudge_of_each_request() -> None:
    assert plan(Load(2_000, batch=100), KNOWN).broker_cores == {"a broker": pytest.approx(0.02)}


def test_what_is_kept_is_what_came_in_so_many_days() -> None:
    kept = plan(Load(1, kept=90, keys_kept=3), KNOWN)

    assert kept.disk == pytest.approx(86_400 * (90 * 800 + 3 * 700) / 1e9)
