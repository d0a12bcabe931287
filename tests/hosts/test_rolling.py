"""Hosts are taken out one by one, and come back with a new process: a release, which no client may notice."""

from __future__ import annotations

from time import monotonic

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Worker
from tests.eventually import eventually
from tests.faults.accepting import accepting, milliseconds
from tests.faults.site import WEB_GRACE, WORKER_GRACE
from tests.hosts.installation import Installation
from tests.processes import Running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 60  # requests a second
CHANNELS = ("slack", "email", "sms")
MORE = 60  # accepted while a host is out


def stopped(running: Running, *, grace: float) -> float:
    began = monotonic()
    running.terminate()
    assert running.wait(grace) == 0, running.log
    return monotonic() - began


def test_hosts_that_are_rolled_one_by_one_show_no_client_an_error_and_double_nothing(
    installation: Installation, tell: list[str]
) -> None:
    site, hosts = installation.site, installation.hosts
    # Slow enough to be in the middle of sends, and of batches, whenever SIGTERM comes.
    site.provider.faults.replace({c: [Fault(kind=Kind.LATENCY, latency_ms=20)] for c in CHANNELS})
    webs, workers = site.start_on(hosts.webs, hosts.workers, threads=24)
    leases = set(Worker.objects.values_list("id", flat=True))

    def accept_more() -> None:
        wanted = len(site.log.acknowledged()) + MORE
        eventually(lambda: len(site.log.acknowledged()) >= wanted, seconds=60, what=f"{wanted} accepted")

    with site.load(clients=6, rate=RATE, channels=CHANNELS):
        accept_more()
        rolled = site.log.now()
        stops = []
        for host, (running, port) in zip(hosts.webs, webs, strict=True):
            stops.append(stopped(running, grace=WEB_GRACE))
            accept_more()
            site.start_web(on=host, port=port)
            accept_more()
        of_webs = accepting(site.log, since=rolled)
        rolled = site.log.now()
        for host, (running, _) in zip(hosts.workers, workers, strict=True):
            stops.append(stopped(running, grace=WORKER_GRACE))
            accept_more()
            site.start_worker(on=host, threads=24)
        of_workers = accepting(site.log, since=rolled)
    site.settle()

    tell.append(f"accept while web hosts are rolled: {of_webs}")
    tell.append(f"accept while worker hosts are rolled: {of_workers}")
    tell.append(f"{len(stops)} hosts, each stopped within {milliseconds(max(stops))}")
    site.check_no_doubt()
    assert not [call for call in site.log.calls if call.status not in {202, None}], "no answer was an error"
    assert not leases & set(Worker.objects.values_list("id", flat=True)), "a lease ends with its worker"
    assert set(Attempt.objects.values_list("outcome", flat=True)) <= {"accepted", "released"}
