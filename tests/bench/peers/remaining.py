"""How far a queue in Postgres has come, read so cheaply that reading does not slow it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql


class Remaining:
    """The open rows of a table with a rising `id`, watched by the smallest of them.

    A search from the start would walk the dead entries of all that is finished: each starts where the last ended.
    """

    def __init__(self, database_url: str, table: str, open_when: str = "true") -> None:
        """`open_when`: the SQL condition of a row that is not finished."""
        self._url = database_url
        self._table = sql.Identifier(*table.split("."))
        self._smallest = sql.SQL("SELECT id FROM {} WHERE id >= %s AND ({}) ORDER BY id LIMIT 1").format(
            self._table,
            sql.SQL(open_when),  # type: ignore[arg-type]  # a constant of a peer
        )
        self._connection: psycopg.Connection[Any] | None = None
        self._first = self._at = 0

    def restart(self) -> None:
        """After a fill: bring the statistics up to date, as autovacuum will have, and note where the rows begin."""
        self._connected().execute(sql.SQL("VACUUM (ANALYZE) {}").format(self._table))
        self._at = 0
        self._first = self._at = self._look() or 0

    def begun(self) -> bool:
        return self._look() != self._first

    def done(self) -> bool:
        return self._look() is None

    def _look(self) -> int | None:
        row = self._connected().execute(self._smallest, (self._at,)).fetchone()
        if row is None:
            return None
        self._at = int(row[0])
        return self._at

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True)
        return self._connection
