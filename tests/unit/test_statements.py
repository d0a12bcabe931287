"""What is run all the time is as short as psycopg wants it, to remember what it has read of it."""

from __future__ import annotations

import pytest
from psycopg import _queries

from notifications.outbox.claim import CLAIM
from notifications.outbox.record import RECORD
from notifications.outbox.workers import GLANCE, SWEEP


@pytest.mark.parametrize("statement", [CLAIM, RECORD, SWEEP, GLANCE], ids=["claim", "record", "sweep", "glance"])
def test_a_statement_is_read_once(statement: str) -> None:
    assert len(statement.encode()) <= _queries.MAX_CACHED_STATEMENT_LENGTH
