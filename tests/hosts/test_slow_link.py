"""A worker host and a web host that reach the database by a slow link, as from another place."""

from __future__ import annotations

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Worker
from tests.eventually import eventually
from tests.faults.accepting import accepting
from tests.hosts import slow_link
from tests.hosts.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 30  # requests a second
ACCEPTED = 600
LOSS = 0.01


@pytest.mark.parametrize(("there_and_back", "jitter"), [(0.05, 0.01), (0.3, 0.03)], ids=["50 ms", "300 ms"])
def test_over_a_slow_link_all_goes_on_and_every_lease_holds(
    installation: Installation, tell: list[str], there_and_back: float, jitter: float
) -> None:
    if reason := slow_link.why_not():
        pytest.skip(reason)
    site, hosts = installation.site, installation.hosts
    site.provider.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=50))
    link = {"delay": there_and_back / 2, "jitter": jitter / 2, "loss": LOSS}
    with (
        slow_link.slow_link(hosts.workers[0], hosts.databases[0], **link),
        slow_link.slow_link(hosts.webs[0], hosts.databases[0], **link),
    ):
        workers = installation.start(threads=24)
        with site.load(rate=RATE, clients=16):
            eventually(lambda: len(site.log.acknowledged()) >= ACCEPTED, seconds=120, what=f"{ACCEPTED} accepted")
        site.settle()
        leases = set(Worker.objects.values_list("id", flat=True))

    found = site.check()
    by_slow = Attempt.objects.filter(worker_id=workers[0][1].pk).count()
    for name, host in (("by the slow link", hosts.webs[0]), ("beside it", hosts.webs[1])):
        tell.append(f"accept {name}: {accepting(site.log, at=f'http://{host.address}:')}")
    tell.append(
        f"{found.acknowledged} accepted, {by_slow} of them sent over the slow link, {len(found.doubled)} doubled"
    )
    assert by_slow
    assert not found.doubled
    assert leases == {lease.pk for _, lease in workers}
    for running, _ in workers:
        assert "worker.buried" not in running.log
        assert "lease.lost" not in running.log
