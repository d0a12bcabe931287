"""What a migration would do to those who work meanwhile, by its SQL: squawk's rules, and some that it has not.

    findings(migration)     # {"require-concurrent-index-creation", …}; empty for one that holds up nobody

It judges what `sqlmigrate` writes, below the line by which `migrate` limits its waits. Tables are taken for large, and
old processes for running, unless the same migration makes the table.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Final

from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from notifier.management.commands.migrate import FIRST_WAIT
from tests.processes import BIN, ROOT

CONFIG: Final = ROOT / ".squawk.toml"
UNSEEN: Final = "cannot-be-written-as-sql"

# What squawk lets pass, of tables that the same migration does not make.
OF_TABLES: Final = {
    # ADD COLUMN with a CHECK reads the whole table before it lets anybody in again.
    "column-with-a-check": r"ALTER TABLE (?:ONLY )?(?P<table>\S+) .*ADD COLUMN .*\bCHECK\b",
    "table-written-anew": r"ALTER TABLE (?:ONLY )?(?P<table>\S+) .*SET (?:LOGGED|UNLOGGED|TABLESPACE)\b"
    r"|(?:CLUSTER|VACUUM|REINDEX) .*?(?P<other>\S+)$",
    "locked-outright": r"LOCK (?:TABLE )?(?:ONLY )?(?P<table>\S+)|TRUNCATE (?:TABLE )?(?P<other>\S+)",
    "trigger": r"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER .* ON (?P<table>\S+)",
    "partition-with-a-scan": r"ALTER TABLE (?:ONLY )?(?P<table>\S+) .*ATTACH PARTITION\b",
    # Every row at once: locked until the end, twice on disk, and behind a claim that waits for it.
    "rows-changed-at-once": r"UPDATE (?:ONLY )?(?P<table>\S+)|DELETE FROM (?:ONLY )?(?P<other>\S+)",
    # Not tables' locks, but a transaction as long as the table, and rows of meanwhile that are left out.
    "rows-copied-at-once": r"(?:INSERT INTO \S+|CREATE TABLE \S+ AS) .*\bFROM (?P<table>\S+)",
}
# What these run, nobody reads here.
UNREADABLE: Final = r"(?:DO|SELECT|CALL|EXECUTE)\b"
# Without a transaction what was done stays when the rest fails: only what can be begun anew may stand there.
INDEX_CONCURRENTLY: Final = (
    r"(?P<act>DROP|CREATE) (?:UNIQUE )?INDEX CONCURRENTLY (?:(?<=DROP INDEX CONCURRENTLY )IF EXISTS )?(?P<index>\S+)"
)
NOT_TRIED_AGAIN: Final = "not-to-be-tried-again"


def migrations() -> dict[str, Migration]:
    """Ours, by name, in their order."""
    graph = MigrationLoader(connection, replace_migrations=False).graph
    return {name: graph.nodes[app, name] for app, name in sorted(graph.nodes) if app == "notifications"}


def sql_of(migration: Migration) -> str:
    """As `manage.py sqlmigrate` writes it, behind the limit that `manage.py migrate` sets for it."""
    loader = MigrationLoader(connection, replace_migrations=False)
    # One that a test makes up is not in the graph: it comes after all those.
    known = (migration.app_label, migration.name) in loader.graph.nodes
    state = loader.project_state(None if not known else (migration.app_label, migration.name), at_end=not known)
    with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(state, editor, collect_sql=True)
    sql = "\n".join(map(str, editor.collected_sql))
    if not migration.atomic:
        return sql
    return f"SET lock_timeout = '{FIRST_WAIT.microseconds // 1000}ms';\nBEGIN;\n{sql}\nCOMMIT;\n"


def findings(migration: Migration) -> set[str]:
    """The names of the rules that it breaks."""
    sql = sql_of(migration)
    statements = list(_statements(sql))
    found = _of_squawk(sql) | set(_of_tables(statements))
    if "CANNOT BE WRITTEN AS SQL" in sql or any(re.match(UNREADABLE, one, re.IGNORECASE) for one in statements):
        found.add(UNSEEN)
    if not migration.atomic:
        found.discard("require-lock-timeout")  # what may stand there waits without a limit, on purpose
        if not _begun_anew(statements):
            found.add(NOT_TRIED_AGAIN)
    return found


def _of_squawk(sql: str) -> set[str]:
    done = subprocess.run(
        [str(BIN / "squawk"), "--config", str(CONFIG), "--reporter", "json"],
        input=sql,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {finding["rule_name"] for finding in json.loads(done.stdout)}


def _of_tables(statements: list[str]) -> Iterator[str]:
    made = {match[1] for one in statements if (match := re.match(r"CREATE TABLE (\S+)", one))}
    for rule, pattern in OF_TABLES.items():
        for one in statements:
            match = re.match(pattern, one, re.IGNORECASE)
            if match and not made & set(match.groupdict().values()):
                yield rule


def _begun_anew(statements: list[str]) -> bool:
    """Indexes alone, each dropped first: one that was left behind, invalid, would be in the way."""
    dropped: set[str] = set()
    for one in statements:
        match = re.match(INDEX_CONCURRENTLY, one, re.IGNORECASE)
        if match is None or (match["act"] == "CREATE" and match["index"] not in dropped):
            return False
        dropped.add(match["index"])
    return True


def _statements(sql: str) -> Iterator[str]:
    """Each on one line, without comments, quotes of names and bodies of functions."""
    sql = re.sub(r"(\$\w*\$).*?\1", "''", sql, flags=re.DOTALL)
    sql = re.sub(r"--[^\n]*", "", sql).replace('"', "")
    for statement in sql.split(";"):
        if words := " ".join(statement.split()):
            yield words
