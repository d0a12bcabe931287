"""What real workers send to a provider that fails, limits or hangs, and to one that asks for a pace."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from time import monotonic

import pytest

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Attempt, LaneState, Notification, Worker
from notifications.timeline import next_step
from tests import processes
from tests.contract.stand_in import Answer, Instead
from tests.eventually import eventually
from tests.integration.outbox import rows

from .clocked import BUSY, OK, Clocked, too_many
from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

LANE = "slack:default"


@pytest.fixture
def slack() -> Iterator[Clocked]:
    with Clocked() as provider:
        yield provider


@pytest.fixture
def settings_for(providers: dict[str, str], slack: Clocked) -> dict[str, str]:
    return providers | slack.environment()


def two_workers(stack: ExitStack, environment: dict[str, str], *, threads: int = 8) -> None:
    for _ in range(2):
        stack.enter_context(processes.worker(threads=threads, **environment))


def all_sent() -> bool:
    return not Notification.objects.exclude(status="sent").exists()


# --- the circuit -----------------------------------------------------------------------------------------


def test_five_failures_in_a_row_close_the_lane_for_all_and_one_probe_opens_it(
    post: Post, slack: Clocked, settings_for: dict[str, str]
) -> None:
    slack.say = lambda _: BUSY
    for n in range(60):
        post(f"message {n}")

    with ExitStack() as stack:
        two_workers(stack, settings_for)
        state = eventually(lambda: LaneState.objects.filter(lane=LANE).first(), what="the circuit is open")
        slack.say = lambda _: OK
        eventually(all_sent, seconds=30, what="all sent after the probe")

    assert state.reason.startswith("408")
    # One thread of each worker has a single destination here; each bears five failures, and one may be under way.
    failed = Attempt.objects.filter(outcome="transient").count()
    assert 5 <= failed <= 11
    gap = max(slack.gaps())
    assert gap > 4, "the pause"
    after = slack.moments[slack.gaps().index(gap) + 1]
    assert slack.moments[-1] - after < 4, "and from the probe on at full speed"
    assert not LaneState.objects.exists()


def test_a_probe_that_fails_closes_the_lane_for_longer(
    post: Post, slack: Clocked, settings_for: dict[str, str]
) -> None:
    slack.say = lambda _: BUSY
    for n in range(20):
        post(f"message {n}")

    with ExitStack() as stack:
        two_workers(stack, settings_for)
        eventually(lambda: LaneState.objects.filter(failures=1).exists(), what="the circuit is open")
        before = len(slack.moments)
        twice = eventually(lambda: LaneState.objects.filter(failures=2).first(), what="the probe has failed")

    assert len(slack.moments) - before <= 2, "one probe, and what was under way"
    assert twice.paused_until - datetime.now(UTC) > timedelta(seconds=5)


def test_a_message_whose_own_trouble_it_is_closes_nothing(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.STATUS, status=400, body="invalid_payload", times=10))
    for n in range(20):
        post(f"message {n}")

    with processes.worker(**providers):
        eventually(lambda: Notification.objects.filter(status="sent").count() == 10, what="the others sent")

    assert not LaneState.objects.exists()


def test_a_prober_that_is_killed_leaves_the_probe_to_another(
    post: Post, slack: Clocked, settings_for: dict[str, str]
) -> None:
    answers: dict[int, Answer] = {0: too_many(1), 1: Instead.HANG}
    slack.say = lambda before: answers.get(before, OK)
    for n in range(10):
        post(f"message {n}")

    with ExitStack() as stack:
        two_workers(stack, settings_for | {"SLACK_RATE": "1/s"})  # one begins, the other waits
        eventually(lambda: len(slack.moments) == 2, what="a probe that hangs")
        prober = eventually(lambda: LaneState.objects.get(lane=LANE).probe_by, what="who it is")
        os.kill(Worker.objects.get(id=prober).pid, signal.SIGKILL)
        killed = monotonic()
        eventually(lambda: len(slack.moments) > 2, seconds=15, what="another probe")
        assert monotonic() - killed < 8
        slack.say = lambda _: OK
        eventually(all_sent, seconds=40, what="all sent")

    assert Attempt.objects.filter(outcome="lost").count() == 1


def test_threads_with_claims_in_hand_learn_at_once_of_a_pause_that_another_caused(
    post: Post, slack: Clocked, settings_for: dict[str, str]
) -> None:
    asked = threading.Event()

    def say(before: int) -> Answer:
        if before == 0:
            return too_many(60)
        asked.wait(1)  # until the pause is written
        return OK

    slack.say = say
    for n in range(100):
        post(f"message {n}")

    with processes.worker(threads=32, **settings_for):
        eventually(lambda: LaneState.objects.exists(), what="the pause")
        asked.set()
        eventually(lambda: not Notification.objects.filter(status="sending").exists(), what="the rest is given back")

    assert len(slack.moments) <= 5, "four threads, and one that began a moment before"
    assert Notification.objects.filter(status="pending").count() >= 95


@pytest.mark.parametrize(
    ("count", "retry_after", "seconds"), [(300, 1, 5), pytest.param(5000, 5, 30, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(300)
def test_a_storm_of_429_is_met_by_one_probe_at_a_time(
    client_row: object, slack: Clocked, settings_for: dict[str, str], count: int, retry_after: int, seconds: int
) -> None:
    began: list[float] = []

    def say(_: int) -> Answer:
        began[:] = began or [monotonic()]
        return too_many(retry_after) if monotonic() - began[0] < seconds else OK

    slack.say = say
    for n in range(count):
        rows.accepted(lane=LANE, recipient="default", body=f"message {n}")

    with ExitStack() as stack:
        two_workers(stack, settings_for, threads=32)
        eventually(all_sent, seconds=seconds + 60, what="all sent after the storm")

    storm = [moment - began[0] for moment in slack.moments if moment - began[0] < seconds]
    probes = [moment for moment in storm if moment >= 1 or moment == storm[-1]]
    assert len([moment for moment in storm if moment < 1]) <= 16, "each thread that had a claim in hand"
    assert len(probes) <= seconds / retry_after
    assert len(probes) >= seconds / retry_after - 2, "and none waits longer than it was asked to"
    assert all(after - before >= retry_after - 0.05 for before, after in pairwise(probes))
    assert set(Notification.objects.values_list("tries", flat=True)) == {0}
    assert len(slack.moments) - len(storm) == count
    assert not LaneState.objects.exists()


# --- the pace --------------------------------------------------------------------------------------------


def test_several_workers_together_send_at_the_lanes_rate(
    post: Post, slack: Clocked, settings_for: dict[str, str]
) -> None:
    for n in range(50):
        post(f"message {n}")

    with ExitStack() as stack:
        two_workers(stack, settings_for | {"SLACK_RATE": "10/s"})
        eventually(all_sent, seconds=30, what="all sent")

    took = slack.moments[-1] - slack.moments[0]
    assert slack.most_in(1) <= 20, "the rate, and a second's worth after a rest"
    assert 3.8 <= took < 5.5, "ten at once, and forty at ten a second"


def test_a_lane_that_waits_for_its_turn_holds_no_thread_and_is_woken_in_time(
    post: Post, slack: Clocked, settings_for: dict[str, str]
) -> None:
    with ExitStack() as stack:
        two_workers(stack, settings_for | {"SLACK_RATE": "1/s"})
        for n in range(6):
            post(f"message {n}")
        eventually(lambda: len(slack.moments) >= 2, what="two sent")
        waiting = Notification.objects.filter(status="pending").first()
        assert waiting is not None
        eventually(lambda: not Notification.objects.filter(status="sending").exists(), seconds=0.9, what="idle threads")
        eventually(all_sent, seconds=30, what="all sent")

    assert min(slack.gaps()) > 0.8, "the first takes a while to be sent"
    assert 0.98 < median(slack.gaps()) < 1.1, "not by the relay's second"


def test_each_webhook_has_a_pace_of_its_own(post: Post, slack: Clocked, providers: dict[str, str]) -> None:
    for n in range(3):
        for name in ("ops", "dev"):
            rows.accepted(lane=f"slack:{name}", recipient=name, body=f"message {n}")

    with ExitStack() as stack:
        two_workers(stack, providers | slack.environment("ops", "dev") | {"SLACK_RATE": "1/s"})
        eventually(all_sent, seconds=30, what="all sent")

    assert 1.7 <= slack.moments[-1] - slack.moments[0] < 2.8


def test_tests_are_not_paced(sandbox: Sandbox, providers: dict[str, str]) -> None:
    for n in range(30):
        rows.accepted(lane="~test:slack:default", channel="slack", recipient="default", body=f"message {n}")

    began = monotonic()
    sandbox_of_tests = {"SANDBOX_URL": sandbox.url, "SANDBOX_SMTP_PORT": str(sandbox.smtp_port), "SLACK_RATE": "1/s"}
    with processes.worker(**providers, **sandbox_of_tests):
        eventually(all_sent, seconds=20, what="all sent")

    assert monotonic() - began < 20


# --- operators -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [LANE, "slack"])
def test_an_operators_pause_outlives_the_success_that_was_under_way(
    post: Post, slack: Clocked, settings_for: dict[str, str], stopped: str
) -> None:
    answered = threading.Event()

    def say(_: int) -> Answer:
        answered.wait(10)
        return OK

    slack.say = say
    post("under way")

    with ExitStack() as stack:
        two_workers(stack, settings_for)
        eventually(lambda: len(slack.moments) == 1, what="a send under way")
        services.pause_lane(stopped, actor="ann", reason="maintenance")
        answered.set()
        eventually(all_sent, what="what was under way")
        waiting = post("after it")
        post("by phone", channel="sms", to="+14155552671")
        eventually(lambda: Notification.objects.get(channel="sms").status == "sent", what="another channel")
        row = Notification.objects.get(id=waiting)
        assert (row.status, row.attempt) == ("pending", 0)
        assert next_step(row).what == f"It waits, because an operator has paused {stopped} (maintenance)."
        assert services.resume_lane(stopped, actor="ann")
        eventually(all_sent, what="what had waited")

    assert len(slack.moments) == 2
