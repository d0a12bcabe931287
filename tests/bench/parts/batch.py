"""Five hundred notifications in one request, against a queue library's own bulk enqueue without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench import load
from tests.bench.ours import Service
from tests.bench.parts.accept import BODY
from tests.bench.peers.pgqueuer import PgQueuer
from tests.bench.report import Result
from tests.bench.sides import Bench

SIZE = 500
CONNECTIONS = 4


def run(bench: Bench) -> Iterator[Result]:
    ours = Service(bench.postgres, "batch")
    peer = PgQueuer(bench.postgres.fresh("batch_peer"))
    batch = {"notifications": [{**BODY, "message": f"{BODY['message']} ({number})"} for number in range(SIZE)]}
    with ExitStack() as stack:
        stack.enter_context(ours.a_lease())
        url = f"{stack.enter_context(ours.web())}/api/v1/notifications/batch"

        def post(seconds: float = 3 if bench.quick else 6) -> float:
            ours.clear()
            return SIZE * load.post(url, batch, ours.headers, seconds=seconds, connections=CONNECTIONS).rate

        def enqueue() -> float:
            count = 50_000 if bench.quick else 200_000
            return count / peer.enqueue(count, 1_000)

        post(seconds=2)
        found = bench.rounds("batch", {"ours": post, peer.name: enqueue})
    yield Result(
        f"accept {SIZE} in a batch",
        "notifications/s",
        found["ours"],
        f"{peer.name}, bulk enqueue by its library",
        found[peer.name],
        goal=0.5,
    )
