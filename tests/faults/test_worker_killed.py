"""A worker dies (SIGKILL) at each step between a claim and its record; another one takes over."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Notification
from tests.eventually import eventually
from tests.faults.seeds import seeds
from tests.faults.site import Site, killed

pytestmark = pytest.mark.django_db(transaction=True)


def outcomes() -> Counter[str]:
    return Counter(Attempt.objects.values_list("outcome", flat=True))


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


@pytest.mark.parametrize("seed", seeds(fast=1))
@pytest.mark.parametrize("step", ["claim executed", "claim committed", "record committed"])
def test_where_no_send_was_under_way_nothing_is_doubled(site: Site, step: str, seed: int) -> None:
    let_die_at(site, step, seed)

    assert not site.check().doubled
    assert step != "claim executed" or set(outcomes()) == {"accepted"}, "a claim that never was is no attempt"


@pytest.mark.parametrize("seed", seeds(fast=1))
@pytest.mark.parametrize("step", ["provider answered", "record executed"])
def test_what_was_answered_and_not_recorded_is_sent_again_and_marked(site: Site, step: str, seed: int) -> None:
    let_die_at(site, step, seed)

    found = site.check()
    assert found.doubled
    assert outcomes()["lost"] >= len(found.doubled)


@pytest.mark.parametrize("seed", seeds(fast=1))
def test_a_send_that_the_worker_died_over_is_sent_again_and_marked(site: Site, seed: int) -> None:
    taken = seed % 2 == 0  # whether the provider has the message when the worker dies
    # So slow that each send is marked as begun on its own: the one under way alone is in doubt.
    site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=10))
    site.start_web()
    dying, _ = site.start_worker()
    with site.load(clients=2):
        site.provider.mailbox.wait(random.Random(seed).randint(1, 100), seconds=30)
        site.provider.faults.set("slack", Fault(kind=Kind.HANG, taken=taken))
        eventually(lambda: site.provider.faults.shown()["slack"][0]["befell"], what="a send under way")
        os.killpg(dying.popen.pid, signal.SIGKILL)
    site.provider.faults.clear()
    site.start_worker()
    site.settle()

    found = site.check()
    lost = Attempt.objects.get(outcome="lost")
    assert set(found.doubled) == ({lost.notification_id} if taken else set())
    assert Attempt.objects.get(possible_duplicate=True).notification_id == lost.notification_id


@pytest.mark.parametrize("seed", seeds(fast=0))
def test_a_text_message_whose_worker_died_is_held_until_an_operator_sends_it_again(site: Site, seed: int) -> None:
    from notifications import services

    site.start_web()
    dying, _ = site.start_worker()
    with site.load(clients=2, channels=["sms"], rate=100):
        site.provider.mailbox.wait(random.Random(seed).randint(1, 50), seconds=30)
        site.provider.faults.set("sms", Fault(kind=Kind.HANG, taken=bool(seed % 2)))
        eventually(lambda: site.provider.faults.shown()["sms"][0]["befell"], what="a send under way")
        os.killpg(dying.popen.pid, signal.SIGKILL)
    site.provider.faults.clear()
    site.start_worker()
    site.settle()

    assert not site.check(excused=["unknown"]).doubled, "none is sent twice on its own"
    held = set(Notification.objects.filter(status="unknown").values_list("id", flat=True))
    assert 1 <= len(held) <= 2, "one for each thread of the channel"
    services.resend(held, actor="an operator")
    site.settle()
    assert set(site.check().doubled) <= held
