"""Postgres alone doing what our drain has it do: the same claim and record, sent by pgbench."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, LiteralString
from uuid import uuid4

from notifications.outbox.claim import CLAIM
from notifications.outbox.record import RECORD
from notifications.outbox.stretches import EVERYWHERE, FIRST, LAST, START, Stretch, as_parameters
from tests.bench.ours import Outbox
from tests.bench.servers import BINARIES, Postgres

BATCH: Final = 500
CLIENTS: Final = 2


class Floor(Outbox):
    """Our tables and statements without us. Its clients never look up: they are stopped when all is sent."""

    def __init__(self, server: Postgres, database: str) -> None:
        super().__init__(server, database)
        self.name = f"Postgres alone (pgbench, the same statements, batch {BATCH}, {CLIENTS} clients)"

    @contextmanager
    def working(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="notifier-bench-") as folder:
            script = Path(folder, "drain.sql")
            script.write_text(_script(), encoding="utf-8")
            program = str(BINARIES / "pgbench")
            command = [program, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", str(CLIENTS), "-T", "300"]
            cursor = ["-D", "due=1970-01-01Z", "-D", "last=00000000-0000-0000-0000-000000000000"]
            clients = subprocess.Popen([*command, *cursor, "-f", str(script), self.url], stdout=subprocess.DEVNULL)
            try:
                yield
            finally:
                clients.terminate()
                clients.wait()


def claiming(batch: int) -> tuple[LiteralString, dict[str, object]]:
    """Our claim as a worker's first: the statement and its parameters."""
    parameters = {"lane": "slack", "channel": "slack", "batch": batch, "started": True, "probing": False}
    return CLAIM, {**parameters, "worker": uuid4(), **as_parameters(EVERYWHERE)}


def _script() -> str:
    nothing = "'{}'"
    # Everything is one client's, who is known up to where its last claim ended.
    own = Stretch(1, FIRST, 1, START.due_at, START)
    stretches = as_parameters([own, Stretch(1, 1, LAST, START.due_at, None), EVERYWHERE[0], EVERYWHERE[2]])
    claim = _filled(
        CLAIM,
        lane="'slack'",
        channel="'slack'",
        probing="false",
        batch=str(BATCH),
        started="true",
        worker="lpad(to_hex(:client_id + 1), 32, '0')::uuid",
        **{name: f"'{value}'" for name, value in stretches.items()}
        | {"reached_dues": "array[:due, NULL, NULL, NULL]", "reached_ids": "array[:last, NULL, NULL, NULL]"},
    )
    record = _filled(
        RECORD,
        ids=":ids",
        attempts=":attempts",
        workers=":workers",
        started=":ages",
        finished=":ages",
        backend="'none'",
        **dict.fromkeys(["next", "next_attempts", "next_workers"], nothing),
        **dict.fromkeys(["outcomes", "statuses", "delays", "tries", "doubles", "doubled"], nothing),
        **dict.fromkeys(["codes", "details", "provider_ids"], nothing),
    )
    found, taken = claim.split("UPDATE notification n ")
    return f"""
{found},
claimed AS (UPDATE notification n {taken}, n.worker_id)
SELECT coalesce(array_agg(id)::text, '{{}}') AS ids, coalesce(array_agg(attempt)::text, '{{}}') AS attempts,
       coalesce(array_agg(worker_id)::text, '{{}}') AS workers, array_fill(0.0, ARRAY[count(*)::int])::text AS ages,
       coalesce((array_agg(id ORDER BY sending DESC))[1]::text, :last) AS last, coalesce(max(due_at)::text, :due) AS due
FROM claimed \\gset
{record};
"""


def _filled(statement: str, **values: str) -> str:
    return re.sub(r"%\((\w+)\)s", lambda match: values[match[1]], statement)
