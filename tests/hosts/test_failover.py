"""The host of the primary is gone, and the synchronous standby on another host takes over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest

from notifications.models import Worker
from tests.eventually import eventually
from tests.faults.accepting import accepting, milliseconds
from tests.hosts.database import looked_at
from tests.hosts.installation import Installation
from tests.hosts.network import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 40  # requests a second
MORE = 400  # accepted in each phase
REFUSED = 5  # answers of 503 until somebody promotes the standby


@pytest.mark.parametrize("gone", [Host.down, Host.silent], ids=["link down", "silently"])
def test_where_the_primarys_host_is_gone_the_standby_takes_over_and_nothing_is_lost(
    installation: Installation, tell: list[str], gone: Callable[[Host], AbstractContextManager[None]]
) -> None:
    site, hosts, primary = installation.site, installation.hosts, installation.database
    with ExitStack() as stack:
        standby = stack.enter_context(primary.standby(hosts.databases[1]))
        site.extra["DATABASE_URL"] = primary.url(standby)
        workers = installation.start()

        def accept_more() -> None:
            wanted = len(site.log.acknowledged()) + MORE
            eventually(lambda: len(site.log.acknowledged()) >= wanted, seconds=120, what=f"{wanted} accepted")

        with site.load(rate=RATE, clients=16):
            accept_more()
            cut = site.log.now()
            stack.enter_context(gone(primary.host))
            eventually(
                lambda: sum(call.status == 503 and call.at >= cut for call in site.log.calls) >= REFUSED,
                seconds=60,
                what="requests refused",
            )
            standby.server.promote()
            promoted = site.log.now()
            received = site.provider.mailbox.taken
            accept_more()
            stack.enter_context(looked_at(standby.server))
            site.provider.mailbox.wait(received + MORE, seconds=60)
        site.settle()
        found = site.check()

        answered = [call.at + call.seconds for call in site.log.calls if call.status == 202]
        back = min(at for at in answered if at > promoted) - promoted
        tell.append(f"accept before: {accepting(site.log, until=cut)}")
        tell.append(f"accept from the cut on: {accepting(site.log, since=cut)}")
        tell.append(
            f"promoted {milliseconds(promoted - cut)} after the cut, accepts again {milliseconds(back)} after that;"
            f" {found.acknowledged} accepted, {len(found.doubled)} doubled (all marked)"
        )
        for running, lease in workers:
            assert "worker.buried" not in running.log, "a failover buries nobody"
            assert Worker.objects.filter(pk=lease.pk).exists()
