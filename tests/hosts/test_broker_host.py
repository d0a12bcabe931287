"""The host of the only broker vanishes under load, and comes back."""

from __future__ import annotations

from time import monotonic

import pytest

from notifications.models import Attempt
from tests import brokers
from tests.eventually import eventually
from tests.faults.accepting import accepting, milliseconds, quantile
from tests.hosts.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 40  # requests a second
MORE = 400  # accepted in each phase


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_while_the_brokers_host_is_away_accepts_take_no_longer_and_sends_wait_for_a_poll(
    installation: Installation, tell: list[str], kind: str
) -> None:
    site, hosts = installation.site, installation.hosts
    serve = {"redis": brokers.redis_server, "rabbitmq": brokers.rabbitmq_server}[kind]
    with hosts.broker:
        serving = serve(hosts.broker.address)
        site.broker_url, _ = serving.__enter__()
    try:
        installation.start()

        def accept_more() -> None:
            wanted = len(site.log.acknowledged()) + MORE
            eventually(lambda: len(site.log.acknowledged()) >= wanted, seconds=60, what=f"{wanted} accepted")

        with site.load(rate=RATE, clients=8):
            accept_more()
            cut = site.log.now()
            with hosts.broker.silent():
                accept_more()
                healed = site.log.now()
            accept_more()
            began = monotonic()
        site.settle()
        settled = monotonic() - began
    finally:
        serving.__exit__(None, None, None)

    site.check_no_doubt()
    waits = sorted(
        (attempt.started_at - attempt.notification.due_at).total_seconds()
        for attempt in Attempt.objects.select_related("notification")
    )
    before, away = accepting(site.log, until=cut), accepting(site.log, since=cut, until=healed)
    tell.append(f"accept before: {before}")
    tell.append(f"accept with the broker away: {away}")
    tell.append(f"accept when it is back: {accepting(site.log, since=healed)}")
    tell.append(
        f"from due to sent: median {milliseconds(quantile(waits, 0.5))}, p99 {milliseconds(quantile(waits, 0.99))},"
        f" longest {milliseconds(waits[-1])}; settled {milliseconds(settled)} after the load"
    )
    assert away.tries == 1
    assert waits[-1] < 8
