"""A worker host is cut off, from everything or from one other host, and healed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from uuid import UUID

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Notification, Worker
from tests.eventually import eventually
from tests.faults.recovery import Recoveries
from tests.faults.site import Site
from tests.hosts.installation import Hosts, Installation
from tests.processes import Running, database_url

pytestmark = pytest.mark.timeout(300)

RATE = 30  # requests a second
LATENCY = 250  # ms of each send: some are under way whenever a link fails, and two worker hosts keep up
THREADS = 24
TAKEN_WITHIN = 5.0  # seconds
AWAY = 20.0  # seconds without the provider: a send waits for ten, and so do the tries after it
MORE = 40  # notifications accepted in each phase

Cut = Callable[[Hosts], AbstractContextManager[None]]

CUTS: dict[str, Cut] = {
    "link down": lambda hosts: hosts.workers[0].down(),
    "silently": lambda hosts: hosts.workers[0].silent(),
    "from the database alone": lambda hosts: hosts.workers[0].silent_to(hosts.databases[0]),
}


def accept_more(site: Site) -> None:
    wanted = len(site.log.acknowledged()) + MORE
    eventually(lambda: len(site.log.acknowledged()) >= wanted, seconds=60, what=f"{wanted} accepted")


def holds_started(lease: Worker) -> bool:
    return Notification.objects.filter(status="sending", worker_id=lease.pk, started_at__isnull=False).exists()


def states(ids: set[UUID]) -> dict[UUID, tuple[str, int, str]]:
    return {n.id: (n.status, n.attempt, n.error_code) for n in Notification.objects.filter(id__in=ids)}


def settled(ids: set[UUID]) -> bool:
    return not Notification.objects.filter(id__in=ids, status__in=["pending", "sending"]).exists()


def works_again(running: Running, lease: Worker) -> bool:
    """By another lease than it had: its pid has one, and has sent something under that."""
    fresh = Worker.objects.filter(pid=lease.pid).exclude(pk=lease.pk).first()
    return running.log.count("lease.taken") >= 2 and (
        fresh is not None and Attempt.objects.filter(worker_id=fresh.pk, outcome="accepted").exists()
    )


def cut_off_and_heal(installation: Installation, cut: Cut, tell: list[str]) -> None:
    site = installation.site
    site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=LATENCY))
    (running, lease), *_ = installation.start(threads=THREADS)
    with site.load(rate=RATE), Recoveries(database_url()) as recoveries:
        accept_more(site)
        eventually(lambda: holds_started(lease), what="a send under way")
        with cut(installation.hosts):
            watch = recoveries.watch(lease.pk, died_at=monotonic())
            eventually(lambda: not recoveries.under_way, seconds=60, what="its claims taken over")
            eventually(lambda: not Worker.objects.filter(pk=lease.pk).exists(), what="its lease taken away")
            ended = Attempt.objects.filter(worker_id=lease.pk, outcome__in=["lost", "released"])
            taken = set(ended.values_list("notification_id", flat=True))
            eventually(lambda: settled(taken), seconds=60, what="what was taken over is sent by others")
            before = states(taken)
            accept_more(site)
        healed_at = monotonic()
        eventually(lambda: works_again(running, lease), seconds=60, what="a new lease, and work under it")
        back = monotonic() - healed_at
    site.settle()

    found = site.check()
    lost = set(Attempt.objects.filter(worker_id=lease.pk, outcome="lost").values_list("notification_id", flat=True))
    late = Attempt.objects.filter(worker_id=lease.pk).exclude(late_outcome="")
    takeover = watch.ended_at - watch.died_at
    tell.append(
        f"claims taken over after {takeover:.1f} s, works again {back:.1f} s after it was healed;"
        f" {found.acknowledged} accepted, {len(taken)} taken over, {len(found.doubled)} doubled (all marked),"
        f" {late.count()} late results"
    )
    assert watch.held
    assert takeover < TAKEN_WITHIN
    assert states(taken) == before, "its late results change nothing"
    assert set(found.doubled) <= lost, "only what was under way may be doubled"


def test_a_worker_host_that_is_cut_off_and_healed_loses_nothing_and_works_again(
    installation: Installation, tell: list[str]
) -> None:
    cut_off_and_heal(installation, CUTS["silently"], tell)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["link down", "from the database alone"])
def test_a_worker_host_that_is_cut_off_in_any_way_loses_nothing_and_works_again(
    installation: Installation, tell: list[str], how: str
) -> None:
    cut_off_and_heal(installation, CUTS[how], tell)


@pytest.mark.slow
def test_a_worker_host_that_is_cut_off_from_the_provider_alone_keeps_its_lease_and_holds_up_nobody(
    installation: Installation, tell: list[str]
) -> None:
    site, hosts = installation.site, installation.hosts
    site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=LATENCY))
    workers = installation.start(threads=THREADS)
    with site.load(rate=RATE):
        accept_more(site)
        eventually(lambda: holds_started(workers[0][1]), what="a send under way")
        cut_at = monotonic()
        with hosts.workers[0].silent_to(hosts.provider):
            while (away := monotonic() - cut_at) < AWAY:
                accept_more(site)
        accept_more(site)
    site.settle()

    found = site.check()
    outcomes = Counter(Attempt.objects.filter(worker_id=workers[0][1].pk).values_list("outcome", flat=True))
    tell.append(
        f"away for {away:.0f} s; {found.acknowledged} accepted, {len(found.doubled)} doubled (all marked);"
        f" of its attempts {', '.join(f'{count} {outcome}' for outcome, count in outcomes.most_common())}"
    )
    kept = set(Worker.objects.values_list("id", flat=True))
    assert {lease.pk for _, lease in workers} <= kept, "a worker that reaches the database keeps its lease"
