"""How far a queue in Postgres has come, read so cheaply that reading does not slow it."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg import sql


class Remaining:
    """The open rows of a table, watched by the first of them in an order that only rises.

    A search from the start would walk the dead entries of all that is finished: each starts where the last ended.
    """

    def __init__(
        self, database_url: str, table: LiteralString, *, order: LiteralString = "id", open_when: LiteralString = "true"
    ) -> None:
        """`order`: an indexed column; `open_when`: the SQL condition of a row that is not finished."""
        self._url = database_url
        self._table = sql.Identifier(*table.split("."))
        start = "SELECT {0} FROM {1} WHERE ({2})"
        parts = (sql.Identifier(order), self._table, sql.SQL(open_when))
        self._find_first = sql.SQL(start + " ORDER BY {0} LIMIT 1").format(*parts)
        self._find_next = sql.SQL(start + " AND {0} >= %s ORDER BY {0} LIMIT 1").format(*parts)
        self._connection: psycopg.Connection[Any] | None = None
        self._first: Any = None
        self._at: Any = None

    def restart(self) -> None:
        """After a fill: bring the statistics up to date, as autovacuum will have, and note where the rows begin."""
        self.ask("VACUUM (ANALYZE) {}")
        row = self._connected().execute(self._find_first).fetchone()
        self._first = self._at = row[0] if row else None

    def begun(self) -> bool:
        return bool(self._look() != self._first)

    def done(self) -> bool:
        return self._look() is None

    def ask(self, query: LiteralString) -> bool:
        """Whether a query on the table, which stands for its `{}`, finds anything."""
        cursor = self._connected().execute(sql.SQL(query).format(self._table))
        return cursor.rowcount > 0

    def _look(self) -> Any:
        row = self._connected().execute(self._find_next, (self._at,)).fetchone()
        if row is None:
            return None
        self._at = row[0]
        return self._at

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True)
        return self._connection
