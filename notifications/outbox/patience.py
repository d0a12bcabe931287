"""How long a look of somebody at a page may keep the database busy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.utils import OperationalError

from notifications.outbox.statement import run, sqlstate

# Ends with the transaction. Rows: (the setting).
LIMIT: Final = "SELECT set_config('statement_timeout', %(milliseconds)s::text, true)"

_QUERY_CANCELED: Final = "57014"


class TookTooLong(Exception):
    """Raised when a statement was stopped at its limit."""


@contextmanager
def at_most(limit: timedelta) -> Iterator[None]:
    """A transaction in which each statement is stopped after `limit`. Raises: TookTooLong."""
    try:
        with transaction.atomic():
            run(LIMIT, {"milliseconds": f"{limit / timedelta(milliseconds=1):.0f}"})
            yield
    except OperationalError as error:
        if sqlstate(error) != _QUERY_CANCELED:
            raise
        raise TookTooLong from error
