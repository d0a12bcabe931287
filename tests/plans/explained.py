"""The plan by which Postgres really runs a statement of ours, and what that plan touched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from django.db import connection, transaction
from psycopg import sql

# A handful of rows, by nature: any plan may read them whole.
SMALL = frozenset({"worker", "lane_state", "client", "webhook_endpoint", "chore", "redaction"})


@dataclass(frozen=True)
class Plan:
    root: Mapping[str, Any]

    @property
    def pages(self) -> int:
        """Looked at in all, in memory or not."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    @property
    def rows(self) -> int:
        """What the scans of tables, but for small ones, returned and threw away."""
        return round(sum(_looked_at(node) for node in self._executed() if node.get("Relation Name") not in SMALL))

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self._executed() if "Index Name" in node}

    @property
    def read_whole(self) -> set[str]:
        """Tables, but for small ones, that were read from end to end, or might have been: not where a look at the first
        row was enough."""
        scans = [
            node
            for node in self._executed()
            if node["Node Type"] in {"Seq Scan", "Sample Scan"} and _looked_at(node) != 1
        ]
        return {node["Relation Name"] for node in scans} - SMALL

    def _executed(self) -> Iterator[Mapping[str, Any]]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", [])
            if node["Actual Loops"]:
                yield node

    def __str__(self) -> str:
        return f"{self.pages} pages, {self.rows} rows by {sorted(self.indexes)}\n{json.dumps(self.root, indent=1)}"


def explained(statement: LiteralString, parameters: Mapping[str, object], *, mode: str) -> Plan:
    """Run a statement of the outbox with a `generic` or a `custom` plan; nothing of what it did stays."""
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    text, types = _prepared(raw, statement, parameters)
    order = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sb]", statement)))  # psycopg numbers them as they first appear
    arguments = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in order)
    with _undone(), psycopg.ClientCursor(raw) as cursor:
        cursor.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan".encode())
        cursor.execute(f"PREPARE explained {f'({types})' if types else ''} AS {text}".encode())
        try:
            call = sql.SQL("EXECUTE explained ({})").format(arguments) if order else sql.SQL("EXECUTE explained")
            cursor.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(call))
            return _read(cursor)
        finally:
            cursor.execute("DEALLOCATE explained")


def explained_query(text: str) -> Plan:
    """The same for what the ORM sent: its values are in the text, so that its plan is always a custom one."""
    with _undone(), psycopg.ClientCursor(connection.connection) as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}".encode())
        return _read(cursor)


def _prepared(
    raw: psycopg.Connection[Any], statement: LiteralString, parameters: Mapping[str, object]
) -> tuple[str, str]:
    """Its text and the types of its parameters, as psycopg itself prepares it: it decides them from the values."""
    threshold, raw.prepare_threshold = raw.prepare_threshold, 5
    try:
        with _undone():
            psycopg.Cursor(raw).execute(statement, parameters, prepare=True)
            newest = psycopg.ClientCursor(raw).execute(
                """SELECT statement, parameter_types::text[] FROM pg_prepared_statements
                   ORDER BY prepare_time DESC LIMIT 1"""
            )
            text, types = newest.fetchall()[0]
        return text, ", ".join(types)
    finally:
        raw.prepare_threshold = threshold


@contextmanager
def _undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _read(cursor: psycopg.Cursor[Any]) -> Plan:
    return Plan(cursor.fetchall()[0][0][0]["Plan"])


def _looked_at(node: Mapping[str, Any]) -> float:
    if not node["Node Type"].endswith("Scan") or "Relation Name" not in node:
        return 0.0
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float(each * node["Actual Loops"])
