"""From a commit to the provider's socket on a quiet system, for each broker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from statistics import median, quantiles

from notifications.states import Priority
from tests.bench.ours import Service
from tests.bench.provider import provider
from tests.bench.report import Result
from tests.bench.servers import rabbitmq
from tests.bench.sides import Bench

POSTS = 300
AHEAD = 5.0  # seconds until what is scheduled is due: neither its web process nor a nudge knows of it any more


def run(bench: Bench) -> Iterator[Result]:
    brokers: dict[str, AbstractContextManager[str]] = {
        "no broker": nullcontext(""),
        "RabbitMQ": rabbitmq(),
        "Redis": nullcontext(bench.redis),
    }
    for name, broker in brokers.items():
        if bench.quick and name != "no broker":
            continue
        with broker as url, provider(0) as (address, server):
            webhook = {"SLACK_WEB_HOOK_URL": f"{address}/services/T/B/X"}
            service = Service(bench.postgres, "latency", BROKER_URL=url, **webhook)
            with service.workers():
                runs = bench.rounds(f"latency, {name}", {"ours": lambda s=service, p=server: _times(bench, s, p)})
                if name == "no broker":
                    asked = {"ours": lambda s=service, p=server: _times(bench, s, p, ahead=AHEAD)}
                    due = bench.rounds("latency of what is scheduled", asked)["ours"]
        halves, hundredths = _halves_and_hundredths(runs["ours"])
        goals = (4.0, 10.0) if name == "no broker" else (None, None)
        yield Result(f"commit to provider, {name}, p50", "ms", halves, goal=goals[0], at_most=True)
        yield Result(f"commit to provider, {name}, p99", "ms", hundredths, goal=goals[1], at_most=True)
    halves, hundredths = _halves_and_hundredths(due)
    yield Result("due to provider, p50", "ms", halves)
    yield Result("due to provider, p99", "ms", hundredths, goal=200.0, at_most=True)


def _halves_and_hundredths(runs: Sequence[list[float]]) -> tuple[list[float], list[float]]:
    return [median(times) for times in runs], [quantiles(times, n=100)[98] for times in runs]


def _times(bench: Bench, service: Service, provider: subprocess.Popen[bytes], *, ahead: float = 0.0) -> list[float]:
    return times(service, provider, posts=100 if bench.quick else POSTS, ahead=ahead)


def times(
    service: Service,
    provider: subprocess.Popen[bytes],
    *,
    posts: int,
    priority: Priority = Priority.NORMAL,
    ahead: float = 0.0,
) -> list[float]:
    """Milliseconds of each post since it fell due, by the one clock that all processes of a machine share."""
    committed = service.accept_in_process(posts, priority=priority, ahead=ahead)
    assert provider.stdout is not None
    came: dict[int, int] = {}
    while len(came) < posts:
        number, moment = provider.stdout.readline().split()
        came[int(number)] = int(moment)
    return [(came[number] - moment) / 1e6 for number, moment in committed.items()]
