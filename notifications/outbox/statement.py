"""How a named SQL statement of the outbox is run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, LiteralString
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.utils import OperationalError

Row = tuple[Any, ...]

_MARKS: Final[tuple[LiteralString, ...]] = ("(", ")", ",", "=", "<", ">", "||")  # around which SQL needs no space
# Of connections whose server was asked who it is: whether its session is theirs alone.
_asked: WeakKeyDictionary[psycopg.Connection[Any], bool] = WeakKeyDictionary()

# What we ask of a session that is our own. Left to its estimates Postgres planned each claim anew: a millisecond, to
# save what it only believes in. And where our host vanishes without a word, the server notices within seconds: by the
# kernel's own it would keep the session for two hours, with its place and whatever it had locked.
# Rows: one, if the session has the process id that the connection was told, %(pid)s; else nothing is set.
OF_OUR_SESSION: Final[LiteralString] = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('tcp_keepalives_idle', '5s', false), set_config('tcp_keepalives_interval', '2s', false),
       set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '11s', false)
WHERE pg_backend_pid() = %(pid)s
"""


class CommitInDoubt(OperationalError):
    """Raised when the server warned about a commit: it stands here, but perhaps on no standby."""


def run(sql: LiteralString, parameters: Mapping[str, object], *, binary: bool = False) -> list[Row]:
    """Run one statement on this thread's Django connection and return its rows.

    It is its own transaction, or part of the caller's `transaction.atomic()`. Server-side parameters and, where the
    connection keeps its session, a prepared plan; Django's cursor would bind on the client and plan every time.
    `binary`: have the rows in Postgres' own form, which is dearer of small values and a tenth as dear of large bytea.

    Raises: django.db's errors, as the ORM does; CommitInDoubt.
    """
    ours = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up at each use
    ours.close_if_health_check_failed()
    ours.ensure_connection()
    ours.validate_no_broken_transaction()
    warnings: list[str] = []

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            warnings.append(diagnostic.message_primary or "warning")

    raw: psycopg.Connection[Row] = ours.connection
    raw.add_notice_handler(notice)
    try:
        with ours.wrap_database_errors, psycopg.Cursor(raw) as cursor:
            _allow_plans(raw)
            cursor.execute(sql, parameters, prepare=True, binary=binary)
            rows = [] if cursor.rownumber is None else cursor.fetchall()  # None: the statement gives no rows
    finally:
        raw.remove_notice_handler(notice)
    if warnings:
        # Such as "canceling wait for synchronous replication": a failover now could lose what was just written.
        raise CommitInDoubt(warnings[0])
    return rows


def squeezed(sql: LiteralString) -> LiteralString:
    """The same statement without what makes it readable; it may hold no comment, and no text with a space in it.

    psycopg finds the placeholders of a statement anew each time it is run where that has more than 4,096 characters: of
    a claim that took 40 microseconds, a third of one that finds nothing.
    """
    for mark in _MARKS:
        sql = mark.join(part.strip() for part in sql.split(mark))
    return " ".join(sql.split())


def connection_stands() -> bool:
    """After an error: whether the session outlived it, so that the server has certainly rolled back what it refused."""
    raw = connections[DEFAULT_DB_ALIAS].connection
    return raw is not None and not raw.closed


def give_back() -> None:
    """Return this thread's connection to the pool, where there is one: none is kept while a provider is waited for."""
    ours = connections[DEFAULT_DB_ALIAS]
    if ours.connection is None:
        return
    if ours.settings_dict["OPTIONS"].get("pool") and not ours.in_atomic_block:
        ours.close()
    else:
        ours.close_if_unusable_or_obsolete()


def direct_connection(application: str, *, past_pooler: bool = False) -> psycopg.Connection[Row]:
    """A connection of its own to the same database, in autocommit: LISTEN and the beat share none.

    `past_pooler`: by LISTEN_DATABASE_URL, where that is set.
    """
    parameters = _past_pooler() if past_pooler else dict(connection.get_connection_params())
    for name in ("pool", "cursor_factory", "context", "prepare_threshold", "server_side_binding"):
        parameters.pop(name, None)
    parameters["application_name"] = application
    # A peer that vanished without a word must not hold the beat for the kernel's default of a quarter of an hour.
    parameters.setdefault("tcp_user_timeout", 3000)  # ms
    direct: psycopg.Connection[Row] = psycopg.connect(**parameters, prepare_threshold=None, autocommit=True)
    _allow_plans(direct)
    return direct


def _past_pooler() -> dict[str, Any]:
    ours = connections[DEFAULT_DB_ALIAS]
    # Another project's settings may have none.
    known: Mapping[str, Any] = getattr(settings, "LISTEN_DATABASE", None) or {}
    return dict(type(ours)({**ours.settings_dict, **known}).get_connection_params())


def keeps_session(raw: psycopg.Connection[Row]) -> bool:
    """Whether the server's session is this connection's own, and lasts as long; asked once, in autocommit, and settled.

    A pooler in transaction mode gives each transaction another one: what is prepared, listened to or set there is
    missing from the next, and is somebody else's. It gives itself away by a process id of its own making.
    """
    if raw not in _asked:
        rows = psycopg.Cursor(raw).execute(OF_OUR_SESSION, {"pid": raw.info.backend_pid}).fetchall()
        _asked[raw] = bool(rows)
    return _asked[raw]


def _allow_plans(raw: psycopg.Connection[Row]) -> None:
    """Let statements be prepared where their plans can be found again, or as DB_PREPARE says.

    Outside transactions: some must begin with a statement of their own.
    """
    if raw.prepare_threshold is not None or raw in _asked or not raw.autocommit:
        return
    ours = keeps_session(raw)
    wanted = getattr(settings, "DB_PREPARE", "auto")
    if wanted == "off" or (wanted == "auto" and not ours):
        return
    raw.prepare_threshold = sys.maxsize  # nothing by itself, but whatever is run with `prepare=True`
    if not ours and not psycopg.capabilities.has_send_close_prepared():
        raw.prepared_max = None  # an older libpq would give up what is past it by SQL, in whichever session


def array(values: Iterable[object]) -> str:
    """An array in Postgres' own form, of what needs no quotes.

    psycopg takes several times as long over each value, and prepares the statement anew for every combination of empty
    ones.
    """
    return "{" + ",".join(map(str, values)) + "}"


def uuids(values: Iterable[UUID]) -> str:
    """The same of UUIDs, which Postgres reads without their dashes, too: those take most of the time of writing one."""
    return array(value.hex for value in values)


def storable(text: str) -> str:
    """A provider's answer may hold what Postgres cannot store; one such row must not fail its batch."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()[:1000]


def sqlstate(error: BaseException) -> str:
    """The five characters of Postgres behind one of django.db's errors; "" where it gave none (a lost connection)."""
    cause = error.__cause__
    return (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""
