"""Whether a lane is open: what an answer closes, one probe opens, an operator stops, and how many tokens it has."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from django.db import connection

from channels.rate import parse
from channels.registry import channel_row
from notifications.models import LaneState, Worker
from notifications.outbox import lanes, tokens
from notifications.outbox.claim import claim
from notifications.outbox.lanes import CHANNEL_ROW, Probe
from notifications.outbox.statement import run
from notifications.outbox.workers import sweep
from tests.integration.outbox import rows

pytestmark = pytest.mark.django_db(transaction=True)

LANE = "slack:ops"
LONG = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)


def half_open(lane: str = LANE) -> None:
    lanes.pause(lane, LONG, "429: slow down")
    LaneState.objects.filter(lane=lane).update(paused_until=datetime.now(UTC) - timedelta(seconds=1))


def test_a_half_open_lane_gives_nothing_but_to_its_prober() -> None:
    rows.accepted()
    half_open()
    worker = rows.worker()

    assert rows.claimed(worker) == []
    assert lanes.probe(LANE, worker, MINUTE) is Probe.YES
    assert len(claim(LANE, worker_id=worker, batch=1, started=True, probing=True)) == 1


def test_a_pause_that_was_written_before_there_were_probes_is_half_open_after_it() -> None:
    rows.accepted()
    run(
        "INSERT INTO lane_state (lane, paused_until, reason, failures) VALUES (%(lane)s, now(), '429', 0)",
        {"lane": LANE},
    )

    assert rows.claimed(rows.worker()) == []
    assert sweep(rows.worker()).troubled == {LANE}


def test_one_worker_probes_at_a_time() -> None:
    half_open()
    one, other = rows.worker(), rows.worker()

    assert lanes.probe(LANE, one, MINUTE) is Probe.YES
    assert lanes.probe(LANE, other, MINUTE) is Probe.NO
    assert lanes.probe(LANE, one, MINUTE) is Probe.NO, "nor does another of its threads"
    lanes.end_probe(LANE, other)
    assert lanes.probe(LANE, other, MINUTE) is Probe.NO, "only who has it gives it back"
    lanes.end_probe(LANE, one)
    assert lanes.probe(LANE, other, MINUTE) is Probe.YES


def test_the_probe_of_a_worker_that_is_gone_is_anothers() -> None:
    half_open()
    rows.accepted()
    gone, other = rows.worker(), rows.worker()
    lanes.probe(LANE, gone, MINUTE)
    assert sweep(other).due_in[LANE] == pytest.approx(60, abs=2)

    Worker.objects.filter(pk=gone).delete()

    assert sweep(other).due_in[LANE] <= 0
    assert lanes.probe(LANE, other, MINUTE) is Probe.YES


def test_a_probe_that_was_never_given_back_ends_by_itself() -> None:
    half_open()
    lanes.probe(LANE, rows.worker(), timedelta(0))

    assert lanes.probe(LANE, rows.worker(), MINUTE) is Probe.YES


def test_while_the_pause_lasts_nobody_probes_and_an_open_lane_needs_none() -> None:
    worker = rows.worker()
    assert lanes.probe(LANE, worker, MINUTE) is Probe.NEEDLESS

    lanes.pause(LANE, LONG, "429")

    assert lanes.probe(LANE, worker, MINUTE) is Probe.NO


def test_a_failed_probe_is_waited_out_for_as_long_as_the_provider_asks_and_no_longer() -> None:
    rows.accepted()
    half_open()
    worker = rows.worker()
    lanes.probe(LANE, worker, MINUTE)

    assert lanes.pause(LANE, timedelta(seconds=7), "429") == pytest.approx(7, abs=0.5)
    lanes.end_probe(LANE, worker)

    assert sweep(worker).due_in[LANE] == pytest.approx(7, abs=0.5)


def test_a_success_opens_what_is_half_open_and_nothing_else() -> None:
    lanes.pause(LANE, LONG, "429")
    assert not lanes.succeed(LANE)

    half_open()

    assert lanes.succeed(LANE)
    assert not LaneState.objects.exists()


def test_those_that_meet_one_trouble_at_once_lengthen_no_pause() -> None:
    for _ in range(5):
        seconds = lanes.pause_growing("sms", timedelta(seconds=10), LONG, "20003")

    assert seconds == pytest.approx(10, abs=1)


# --- operators -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [LANE, "slack"])
def test_an_operators_pause_is_ended_by_no_success_and_shortened_by_no_answer(stopped: str) -> None:
    rows.accepted()
    half_open()
    lanes.stop(stopped, until=None, by="ann", reason="maintenance")
    worker = rows.worker()

    lanes.pause(LANE, timedelta(0), "429")
    lanes.probe(LANE, worker, MINUTE)
    assert claim(LANE, worker_id=worker, batch=1, started=True, probing=True) == []
    lanes.succeed(LANE)
    lanes.reopen(LANE)

    assert rows.claimed(worker) == []
    assert sweep(worker).due_in[LANE] > 1e9
    assert lanes.resume(stopped)
    assert len(rows.claimed(worker)) == 1


def test_an_operators_pause_ends_at_its_time() -> None:
    rows.accepted()
    worker = rows.worker()
    lanes.stop(LANE, until=datetime.now(UTC) + timedelta(seconds=40), by="ann", reason="maintenance")
    assert sweep(worker).due_in[LANE] == pytest.approx(40, abs=2)

    lanes.stop(LANE, until=datetime.now(UTC), by="ann", reason="maintenance")

    assert len(rows.claimed(worker)) == 1


def test_a_channels_pause_keeps_its_lanes_and_no_others() -> None:
    worker = rows.worker()
    for lane in ("slack:ops", "slack:dev", "slack", "~test:slack:ops", "slacker:ops", "sms"):
        rows.accepted(lane=lane)
    lanes.stop("slack", until=None, by="ann", reason="maintenance")

    kept = [lane for lane, due_in in sweep(worker).due_in.items() if due_in > 0]

    assert sorted(kept) == ["slack", "slack:dev", "slack:ops"]
    for lane in ("slack:ops", "slack:dev", "slack", "~test:slack:ops", "slacker:ops", "sms"):
        assert bool(rows.claimed(worker, lane=lane)) == (lane not in kept), lane


@pytest.mark.parametrize("lane", ["slack", "slack:ops", "slack:a:b", "~test:slack", "~test:slack:ops", "slacker:slack"])
def test_the_database_finds_the_channels_row_as_the_program_does(lane: str) -> None:
    sql = f"SELECT {CHANNEL_ROW.replace('{lane}', '%(lane)s::text')}"

    assert run(sql, {"lane": lane}) == [(channel_row(lane),)]


def test_a_lane_of_another_backend_is_of_the_same_channel() -> None:
    sql = f"SELECT {CHANNEL_ROW.replace('{lane}', '%(lane)s::text')}"

    assert run(sql, {"lane": "sms@other"}) == [("sms",)]
    assert run(sql, {"lane": "slack@other:ops"}) == [("slack",)]


# --- tokens ----------------------------------------------------------------------------------------------


def test_a_rested_lane_has_a_seconds_worth_of_tokens_and_then_one_each_interval() -> None:
    rate = parse("10/s")
    assert rate is not None

    assert tokens.take(LANE, 100, rate).tokens == 10
    none = tokens.take(LANE, 100, rate)

    assert none.tokens == 0
    assert 0 < none.next_in <= 0.1


def test_a_slow_lane_has_one_token_at_a_time() -> None:
    rate = parse("6/m")
    assert rate is not None

    assert tokens.take(LANE, 100, rate).tokens == 1
    none = tokens.take(LANE, 100, rate)

    assert none.tokens == 0
    assert none.next_in == pytest.approx(10, abs=0.5)


def test_what_was_not_used_is_given_back() -> None:
    rate = parse("100/m")
    assert rate is not None
    tokens.take(LANE, 1, rate)

    tokens.give_back(LANE, 1, rate)

    assert tokens.take(LANE, 1, rate).tokens == 1
    assert tokens.take(LANE, 1, rate).tokens == 0


def test_a_lane_without_tokens_is_seen_as_one_by_the_relay() -> None:
    rate = parse("6/m")
    assert rate is not None
    rows.accepted()
    tokens.take(LANE, 1, rate)

    seen = sweep(rows.worker())

    assert seen.due_in[LANE] <= 0
    assert seen.token_in[LANE] == pytest.approx(10, abs=0.5)
    assert seen.troubled == frozenset()


def test_opening_a_paced_lane_gives_it_no_token() -> None:
    rate = parse("6/m")
    assert rate is not None
    half_open()
    tokens.take(LANE, 1, rate)

    assert lanes.succeed(LANE)

    assert tokens.take(LANE, 1, rate).tokens == 0
    assert len(rows.claimed(rows.worker())) == 0
    rows.accepted()
    assert len(rows.claimed(rows.worker())) == 1, "it is open"


def test_many_at_once_take_no_more_than_there_is() -> None:
    rate = parse("200/s")
    assert rate is not None
    began = monotonic()
    taken: list[int] = []
    enough = threading.Event()

    def take() -> None:
        try:
            while not enough.is_set():
                taken.append(tokens.take(LANE, 7, rate).tokens)
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    while sum(taken) < 400:
        pass
    enough.set()
    for thread in threads:
        thread.join()

    took = monotonic() - began
    assert sum(taken) <= 200 + 200 * took + 1
    assert took < 3, "and no less"
