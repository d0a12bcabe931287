"""Where the traces of claimed notifications go on: read beside the claim, and only where traces are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, LiteralString
from uuid import UUID

from notifications.outbox.statement import run, uuids

# Index: primary key. Rows: (id, traceparent) of those that have one.
READ_TRACES: Final[LiteralString] = """
SELECT id, traceparent FROM notification WHERE id = ANY(%(ids)s::uuid[]) AND traceparent IS NOT NULL
"""


def read_traces(ids: Iterable[UUID]) -> dict[UUID, str]:
    """The `traceparent` of each that has one. Raises: django.db's errors."""
    return dict(run(READ_TRACES, {"ids": uuids(ids)}))
