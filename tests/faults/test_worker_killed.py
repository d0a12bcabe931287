"""A worker dies (SIGKILL) at each step between a claim and its record; another one takes over."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from uuid import UUID

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications import services
from notifications.models import Attempt, Notification
from tests.eventually import eventually
from tests.faults.seeds import EACH
from tests.faults.site import Site, killed
from tests.processes import Running

pytestmark = pytest.mark.django_db(transaction=True)


# The steps at which a worker kills itself: where no send is under way, and where one was answered.
BETWEEN_SENDS = ("claim executed", "claim committed", "record committed")
AFTER_AN_ANSWER = ("provider answered", "record executed")


def outcomes(**of: UUID) -> Counter[str]:
    return Counter(Attempt.objects.filter(**of).values_list("outcome", flat=True))


def lost_by(worker: UUID) -> set[UUID]:
    """What it had begun to send, for all anybody knows."""
    lost = Attempt.objects.filter(worker_id=worker, outcome="lost")
    return set(lost.values_list("notification_id", flat=True))


def let_die_at(site: Site, step: str, seed: int) -> None:
    """Post to Slack until the worker has died, then settle with another one."""
    chance = random.Random(f"{step} {seed}")
    if chance.random() < 0.5:
        # So slow that each send is marked as begun on its own; without, whole batches are.
        site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=10))
    site.start_web()
    dying, _ = site.start_worker(
        entry="tests.faults.breaking_worker", NOTIFIER_TESTS_BREAK=f"{step}:{chance.randint(1, 6)}"
    )
    with site.load(clients=2):
        eventually(lambda: killed(dying), what="the worker's death")
    site.provider.faults.clear()
    site.start_worker()
    site.settle()


def kill_in_a_send(site: Site, dying: Running, *channels: str, taken: bool) -> None:
    """`taken`: whether the provider has the message when the worker dies."""
    for channel in channels:
        site.provider.faults.set(channel, Fault(kind=Kind.HANG, taken=taken))

    def under_way() -> bool:
        shown = site.provider.faults.shown()
        return all(shown[channel][0]["befell"] for channel in channels)

    eventually(under_way, what=f"sends under way: {channels}")
    os.killpg(dying.popen.pid, signal.SIGKILL)
    site.provider.faults.clear()


def test_each_of_six_workers_that_die_in_turn_leaves_the_doubts_of_its_step_and_no_others(site: Site) -> None:
    """Each of the steps below once, and each worker dies before it could take over from those before it."""
    site.start_web()
    dead: dict[str, UUID] = {}
    with site.load(clients=2, rate=60):
        for step in (*BETWEEN_SENDS, *AFTER_AN_ANSWER):
            dying, lease = site.start_worker(entry="tests.faults.breaking_worker", NOTIFIER_TESTS_BREAK=f"{step}:3")
            eventually(lambda: killed(dying), what="the worker's death")  # noqa: B023 - called at once
            dead[step] = lease.pk
        # So slow that each send is marked as begun on its own: the one under way alone is in doubt.
        site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=10))
        dying, lease = site.start_worker()
        with site.load(name="texts", clients=1, rate=20, channels=["sms"]):
            kill_in_a_send(site, dying, "slack", "sms", taken=True)
    site.start_worker()
    site.settle()

    doubled = set(site.check(excused=["unknown"]).doubled)
    assert set(outcomes(worker_id=dead["claim executed"])) <= {"accepted"}, "a claim that never was is no attempt"
    for step in AFTER_AN_ANSWER:
        assert lost_by(dead[step]) & doubled, step
    elsewhere = set().union(*(lost_by(dead[step]) for step in AFTER_AN_ANSWER), lost_by(lease.pk))
    assert doubled <= elsewhere, "between two sends nothing is in doubt"
    held = set(Notification.objects.filter(status="unknown").values_list("id", flat=True))
    assert held
    assert len(lost_by(lease.pk) - held) == 1, "each send is marked on its own"
    assert lost_by(lease.pk) - held <= doubled
    services.resend(held, actor="an operator")
    site.settle()
    assert doubled <= set(site.check().doubled) <= doubled | held, "no text message is sent twice on its own"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(EACH))
@pytest.mark.parametrize("step", BETWEEN_SENDS)
def test_where_no_send_was_under_way_nothing_is_doubled(site: Site, step: str, seed: int) -> None:
    let_die_at(site, step, seed)

    assert not site.check().doubled
    assert step != "claim executed" or set(outcomes()) == {"accepted"}, "a claim that never was is no attempt"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(EACH))
@pytest.mark.parametrize("step", AFTER_AN_ANSWER)
def test_what_was_answered_and_not_recorded_is_sent_again_and_marked(site: Site, step: str, seed: int) -> None:
    let_die_at(site, step, seed)

    found = site.check()
    assert found.doubled
    assert outcomes()["lost"] >= len(found.doubled)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(EACH))
def test_a_send_that_the_worker_died_over_is_sent_again_and_marked(site: Site, seed: int) -> None:
    taken = seed % 2 == 0  # whether the provider has the message when the worker dies
    # So slow that each send is marked as begun on its own: the one under way alone is in doubt.
    site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=10))
    site.start_web()
    dying, _ = site.start_worker()
    with site.load(clients=2):
        site.provider.mailbox.wait(random.Random(seed).randint(1, 100), seconds=30)
        kill_in_a_send(site, dying, "slack", taken=taken)
    site.start_worker()
    site.settle()

    found = site.check()
    lost = Attempt.objects.get(outcome="lost")
    assert set(found.doubled) == ({lost.notification_id} if taken else set())
    assert Attempt.objects.get(possible_duplicate=True).notification_id == lost.notification_id


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(EACH))
def test_a_text_message_whose_worker_died_is_held_until_an_operator_sends_it_again(site: Site, seed: int) -> None:
    site.start_web()
    dying, _ = site.start_worker()
    with site.load(clients=2, channels=["sms"], rate=100):
        site.provider.mailbox.wait(random.Random(seed).randint(1, 50), seconds=30)
        kill_in_a_send(site, dying, "sms", taken=bool(seed % 2))
    site.start_worker()
    site.settle()

    assert not site.check(excused=["unknown"]).doubled, "none is sent twice on its own"
    held = set(Notification.objects.filter(status="unknown").values_list("id", flat=True))
    assert 1 <= len(held) <= 2, "one for each thread of the channel"
    services.resend(held, actor="an operator")
    site.settle()
    assert not site.check().doubled, "what the provider has was looked up"
