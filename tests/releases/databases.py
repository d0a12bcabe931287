"""Databases of a test's own on the suite's server, at whatever schema the test needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg

from tests.integration.outbox import many
from tests.processes import ROOT, Running, database_url, plain_environment

Session = psycopg.Connection[tuple[Any, ...]]
MIGRATED_WITHIN: Final = 60.0  # seconds


@contextmanager
def new_database(template: str = "") -> Iterator[str]:
    """An empty one, or a copy of the one at this URL; its URL."""
    name = f"releases_{uuid4().hex[:12]}"
    with psycopg.connect(database_url(), autocommit=True) as operator:
        original = psycopg.conninfo.conninfo_to_dict(template)["dbname"] if template else "template0"
        operator.execute(f"CREATE DATABASE {name} TEMPLATE {original}".encode())
        try:
            yield database_url(name)
        finally:
            operator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def manage(url: str, *command: str, root: Path = ROOT) -> str:
    """What a management command of the code in `root` prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=root,
        env=plain_environment(DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=MIGRATED_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def with_history(rows: int, *, through: str) -> Iterator[str]:
    """One that `migrate` has brought through this migration, with so many notifications that are over."""
    with new_database() as url:
        manage(url, "migrate", "notifications", through)
        with psycopg.connect(url, autocommit=True) as session, session.cursor() as cursor:
            session.execute("INSERT INTO client (name, is_active, created_at) VALUES ('a client', true, now())")
            many.history(rows, cursor)
        yield url


def applied(url: str) -> list[str]:
    """The names of our migrations that it has."""
    with psycopg.connect(url, autocommit=True) as session:
        rows = session.execute("SELECT name FROM django_migrations WHERE app = 'notifications' ORDER BY name")
        return [name for (name,) in rows.fetchall()]


@contextmanager
def migrating(url: str, *arguments: str) -> Iterator[Running]:
    """`manage.py migrate`, begun."""
    running = Running([sys.executable, "manage.py", "migrate", *arguments], plain_environment(DATABASE_URL=url))
    try:
        yield running
    finally:
        running.end()
