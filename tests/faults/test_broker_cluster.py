"""A node of three dies, is cut off, stands still: no accept waits, delivery goes on, and nudges are used again.

Web and worker know all three nodes. Their queues are quorum queues, so that any two of the nodes have what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from statistics import median, quantiles
from time import monotonic
from typing import Final

import psutil
import pytest
from django.db.models import DurationField, ExpressionWrapper, F
from django.utils import timezone

from notifications.models import Attempt
from tests.eventually import eventually
from tests.faults.accepting import accepting
from tests.faults.site import Site
from tests.processes import Running
from tests.rabbitmq_cluster import Cluster, Node, cluster

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

RATE: Final = 40  # notifications a second
MORE: Final = 40  # notifications posted in each phase
POLL: Final = 1.0  # seconds: what a lost nudge costs at most
LATEST: Final = 8.0  # seconds: one in hundreds meets a machine that is busy with others
ANSWERED: Final = 0.1  # seconds, of most requests
# Seconds between accepted and begun, of most, where nudges come. Two looks a second alone come to a quarter.
QUICK: Final = 0.1
BEGUN: Final = 1.2  # seconds after which all is begun, by polls alone, too
# Seconds until nudges are used again. A node that falls silent is dead to the others after `net_ticktime` (ten here,
# and a quarter more) and to a worker that consumes from it after twenty.
AGAIN: Final = 60.0


@dataclass(frozen=True)
class Installation:
    """Web and worker, and the nodes that carry their nudges."""

    site: Site
    nodes: Cluster
    web: Running

    def consumer(self) -> Node:
        """The node that the worker fetches Slack's nudges from."""

        def only_one() -> Node | None:
            found = self.nodes.consumers_of_slack()
            return found[0] if len(found) == 1 else None  # those of a node that stood still are counted for a while

        return eventually(only_one, seconds=AGAIN, what="one consumer")

    def put_web_on(self, node: Node) -> None:
        """Until its nudges go to that one."""

        def is_there() -> bool:
            found = self._of_web()
            for other, port in found:
                if other is not node:
                    other.close_connection(port)
            return [other for other, _ in found] == [node]

        eventually(is_there, seconds=AGAIN, what=f"the web server on {node.name}")

    def _of_web(self) -> list[tuple[Node, int]]:
        """What the web server's processes are connected to, and from which ports."""
        by_port = {node.port: node for node in self.nodes.nodes}
        parent = psutil.Process(self.web.popen.pid)
        return [
            (by_port[found.raddr.port], found.laddr.port)
            for each in [parent, *parent.children(recursive=True)]
            for found in each.net_connections("tcp")
            if found.status == psutil.CONN_ESTABLISHED and found.raddr.port in by_port
        ]

    def gather_on_one(self) -> Node:
        """The node that the worker fetches from, once web sends to it and it leads the queue."""
        node = self.consumer()
        assert node.members_of_slack() == len(self.nodes.nodes)
        self.put_web_on(node)
        node.lead_slack()
        return node

    def web_apart(self) -> Node:
        """One that web sends to, and that neither leads the queue nor has the worker."""
        fetched = self.consumer()
        node = next(each for each in self.nodes.nodes if each is not fetched)
        self.put_web_on(node)
        fetched.lead_slack()
        return node

    def phase(self, name: str) -> None:
        """MORE are accepted as if nothing were."""
        log = self.site.log
        began, before = log.now(), len(log.acknowledged())
        eventually(lambda: len(log.acknowledged()) >= before + MORE, seconds=60, what=f"{MORE} accepted")
        found = accepting(log, since=began)
        print(f"{name}: {found}")
        assert found.median < ANSWERED

    def nudged_again(self, name: str, *, since: float) -> None:
        """Until what is accepted is begun sooner than polls would have it; `since`: of the monotonic clock."""

        def quick() -> bool:
            if monotonic() < since + 1.0 + BEGUN:
                return False
            waits = self.waits(1.0, ago=BEGUN)
            return len(waits) >= RATE / 4 and median(waits) < QUICK

        eventually(quick, seconds=AGAIN, what="nudges that are used")
        meanwhile = monotonic() - since - BEGUN
        begun = f"half began within {median(self.waits(meanwhile, ago=BEGUN)) * 1000:.0f} ms"
        print(f"{name}: nudges are used after {meanwhile - 1.0:.1f} s; of what was accepted meanwhile {begun}")

    def waits(self, seconds: float | None = None, *, ago: float = 0.0) -> list[float]:
        """Seconds between due and begun, of all or of what was accepted in so many seconds that ended some ago."""
        wait = ExpressionWrapper(F("started_at") - F("notification__due_at"), output_field=DurationField())
        attempts = Attempt.objects.all()
        if seconds is not None:
            end = timezone.now() - timedelta(seconds=ago)
            attempts = attempts.filter(notification__created_at__range=(end - timedelta(seconds=seconds), end))
        return [found.total_seconds() for found in attempts.values_list(wait, flat=True)]

    def check(self) -> None:
        self.site.settle()
        self.site.check_no_doubt()
        calls = self.site.log.calls
        assert not [call for call in calls if call.status != 202], "every accept was answered, and well"
        times, waits = [call.seconds for call in calls], self.waits()
        assert median(times) < ANSWERED
        assert quantiles(times, n=20)[-1] < POLL, "accepting waits for no broker"
        assert max(times) < LATEST
        assert median(waits) < POLL
        assert max(waits) < LATEST


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster() as found:
        yield found


@pytest.fixture
def installation(site: Site, nodes: Cluster) -> Installation:
    site.broker_url = nodes.url
    nodes.mend()
    web, _ = site.start_web(BROKER_QUEUE_TYPE="quorum")
    site.start_worker(BROKER_QUEUE_TYPE="quorum")
    return Installation(site, nodes, web)


def kill(installation: Installation) -> Node:
    node = installation.gather_on_one()
    began = monotonic()
    node.kill()
    installation.phase("a node that is dead")
    installation.nudged_again("a node that is dead", since=began)
    return node


def cut_off(installation: Installation) -> None:
    node = installation.gather_on_one()
    began = monotonic()
    node.cut_off()
    eventually(lambda: not node.serves(), what="a minority that pauses")
    installation.phase("a node that is cut off")
    installation.nudged_again("a node that is cut off", since=began)
    node.heal()
    eventually(node.serves, seconds=60, what="the node that was cut off, serving")


def freeze(installation: Installation, node: Node, name: str) -> None:
    began = monotonic()
    node.freeze()
    installation.phase(name)
    installation.nudged_again(name, since=began)
    node.thaw()


def test_whatever_befalls_one_of_three_nodes_nothing_is_lost_or_doubled_or_late(installation: Installation) -> None:
    """All of the below under one load, but for the leader that stands still, which takes long."""
    with installation.site.load(rate=RATE):
        installation.nudged_again("three nodes", since=monotonic())
        cut_off(installation)
        freeze(installation, installation.web_apart(), "a follower that stands still")
        kill(installation)
    installation.check()


@pytest.mark.slow
def test_a_node_that_is_killed_is_missed_by_nobody_and_used_again(installation: Installation) -> None:
    with installation.site.load(rate=RATE):
        installation.nudged_again("three nodes", since=monotonic())
        node = kill(installation)
        node.start()
        node.await_serving()
        installation.phase("a node that is back")
        others = [each for each in installation.nodes.nodes if each is not node]
        began = monotonic()
        others[0].kill()
        installation.phase("another that is dead")
        installation.nudged_again("another that is dead", since=began)
    installation.check()


@pytest.mark.slow
def test_a_minority_that_is_cut_off_pauses_and_is_left_by_web_and_workers(installation: Installation) -> None:
    with installation.site.load(rate=RATE):
        installation.nudged_again("three nodes", since=monotonic())
        cut_off(installation)
        installation.phase("healed")
    installation.check()


@pytest.mark.slow
def test_a_leader_that_stands_still_is_left_and_used_again(installation: Installation) -> None:
    with installation.site.load(rate=RATE):
        installation.nudged_again("three nodes", since=monotonic())
        freeze(installation, installation.gather_on_one(), "a leader that stands still")
        installation.phase("thawed")
        installation.nudged_again("thawed", since=monotonic())
    installation.check()


@pytest.mark.slow
def test_while_all_nodes_refuse_what_is_published_all_is_accepted_and_sent(installation: Installation) -> None:
    """By an alarm of their memory or disk: they read no more from who publishes."""
    with installation.site.load(rate=RATE):
        installation.nudged_again("three nodes", since=monotonic())
        node = installation.nodes.nodes[0]
        node.set_alarm()
        installation.phase("blocked by an alarm")
        node.clear_alarm()
        installation.nudged_again("after the alarm", since=monotonic())
    installation.check()
