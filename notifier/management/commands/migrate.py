"""`manage.py migrate`: Django's own, which stands in nobody's way for long.

A migration that waits for a table's lock keeps everybody behind it from the table, readers as well, until whoever has
the lock is done: a long report, a backup. So it waits briefly, steps back, lets pass who has queued behind it, and
tries again. A migration is one transaction, unless it says `atomic = False`: given up, it has changed nothing.
"""

from __future__ import annotations

from datetime import timedelta
from time import monotonic, sleep
from typing import Any, Final

import structlog
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.utils import OperationalError
from psycopg import errors

from notifier import lock_waits

FIRST_WAIT: Final = timedelta(milliseconds=250)  # most locks are had at once, between two statements of others
# The wait doubles from try to try up to this: longer than Postgres' deadlock_timeout of a second, after which it ends
# an autovacuum that is in somebody's way, and shorter than a request waits for a lock (web_database.LOCK_WAIT).
LONGEST_WAIT: Final = timedelta(milliseconds=1500)
PAUSE: Final = 4  # times as long as it waited: others have the table for four fifths of the time
PATIENCE: Final = timedelta(minutes=5)
NO_LIMIT: Final = timedelta(0)

# Transactions that are older than our wait and hold a lock on a table of ours: process id, the program's name, what it
# does, its seconds. Another role's name and state are NULL to a role that may not see them.
HOLDERS: Final = """
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type), a.state,
    round(extract(epoch FROM clock_timestamp() - a.xact_start)), min(c.relname)
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid JOIN pg_class AS c ON c.oid = l.relation
WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace(current_schema())
    AND a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - make_interval(secs => %s)
GROUP BY a.pid, a.application_name, a.backend_type, a.state, a.xact_start ORDER BY a.xact_start LIMIT 5
"""

log = structlog.get_logger(__name__)


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--patience",
            type=float,
            default=PATIENCE.total_seconds(),
            metavar="SECONDS",
            help="how long to try again where a lock is not to be had (default: %(default)g); each try waits "
            f"{LONGEST_WAIT.total_seconds():g} s at most, because everybody else waits behind it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._connection = connections[options["database"]]
        self._current: Migration | None = None
        self._wait = FIRST_WAIT
        until = monotonic() + options["patience"]
        try:
            while True:
                lock_waits.limit(self._connection, self._wait)
                try:
                    super().handle(*args, **options)
                except OperationalError as error:
                    if not self._may_try_again(error):
                        raise
                    self._step_back(until, error)
                else:
                    return
        finally:
            self._limit_no_more()

    def migration_progress_callback(
        self,
        action: str,
        migration: Migration | None = None,
        fake: bool = False,  # noqa: FBT001, FBT002 - Django's
    ) -> None:
        super().migration_progress_callback(action, migration, fake)
        if action in {"apply_start", "unapply_start"}:
            self._current = migration
            # An index that is made concurrently waits for every transaction of before, and keeps nobody waiting
            # meanwhile; given up, it would stay behind, invalid.
            lock_waits.limit(self._connection, self._wait if migration is None or migration.atomic else NO_LIMIT)
        elif action in {"apply_success", "unapply_success"}:
            self._current = None
            lock_waits.limit(self._connection, self._wait)

    def _may_try_again(self, error: OperationalError) -> bool:
        gave_way = isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected)
        whole = self._current is None or self._current.atomic
        return gave_way and whole and not self._connection.in_atomic_block

    def _step_back(self, until: float, error: OperationalError) -> None:
        pause = self._wait * PAUSE
        holders = _holders(self._connection, self._wait)
        if self.verbosity:
            self.stdout.write("")  # Django has left the line of this migration open
        if monotonic() + pause.total_seconds() > until:
            raise CommandError(
                f"A lock was not to be had. {_told(holders)} Nothing of {self._current or 'it'} was changed; what came "
                "before it is done. Try again when that has ended, or with more --patience."
            ) from error
        log.warning(
            "migrate.steps_back",
            migration=str(self._current or ""),
            waited_seconds=self._wait.total_seconds(),
            again_in_seconds=pause.total_seconds(),
            held_by=holders,
        )
        sleep(pause.total_seconds())
        self._wait = min(self._wait * 2, LONGEST_WAIT)

    def _limit_no_more(self) -> None:
        """Whoever goes on with this connection, such as another command of the same program, has its own limits."""
        if self._connection.connection is not None and self._connection.is_usable():
            with self._connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")


def _holders(connection: BaseDatabaseWrapper, wait: timedelta) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(HOLDERS, [wait.total_seconds()])
        return [
            f"{name or 'a program'} (process {pid}, {state or 'state unknown'}) for {seconds:g} s, on {table}"
            for pid, name, state, seconds, table in cursor.fetchall()
        ]


def _told(holders: list[str]) -> str:
    return f"Held by {'; '.join(holders)}." if holders else "Whoever held it is gone."
