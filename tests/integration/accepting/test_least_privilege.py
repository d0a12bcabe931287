"""Who may accept in SQL may do just that: not read, not write, and not lead the function astray."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from notifications.models import Client, Notification
from notifications.outbox.statement import Row, direct_connection

TABLES = [
    *("notification", "idempotency_record", "client", "api_key", "attempt", "event", "receipt", "channel_rules"),
    *("worker", "lane_state", "purge_ledger"),
]
ACCEPT = "SELECT id FROM notifications_accept(%s, 'slack', 'hello', idempotency_key => 'order:1')"
HELPERS = ["checked", "canonical"]

Connection = psycopg.Connection[Row]


@pytest.fixture
def stranger(published: None) -> Iterator[Connection]:
    """A session of a role that was granted nothing."""
    name = sql.Identifier(f"shop_{secrets.token_hex(4)}")
    with direct_connection("the owner") as owner, direct_connection("a shop") as shop:
        owner.execute(sql.SQL("CREATE ROLE {}").format(name))
        try:
            shop.execute(sql.SQL("SET ROLE {}").format(name))
            yield shop
        finally:
            shop.close()
            owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
            owner.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
def shop(stranger: Connection) -> Connection:
    """A session of a role that may accept, as docs/in_process.md grants it."""
    role = stranger.execute("SELECT current_role").fetchall()[0][0]
    with direct_connection("the owner") as owner:
        grant = sql.SQL("GRANT EXECUTE ON FUNCTION notifications_accept TO {}")
        owner.execute(grant.format(sql.Identifier(role)))
    return stranger


def test_nobody_may_accept_who_was_not_granted_it(stranger: Connection, client: Client) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute(ACCEPT, [client.name])
    assert not Notification.objects.exists()


def test_a_role_that_may_only_accept_accepts(shop: Connection, client: Client) -> None:
    id_ = shop.execute(ACCEPT, [client.name]).fetchall()[0][0]
    assert Notification.objects.get().id == id_


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement", ["SELECT FROM {}", "DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"]
)
def test_it_can_neither_read_nor_write_a_table(shop: Connection, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        shop.execute(sql.SQL(statement).format(sql.Identifier(table)))


@pytest.mark.parametrize("helper", HELPERS)
def test_it_can_call_none_of_what_the_function_is_made_of(shop: Connection, helper: str) -> None:
    allowed = "SELECT has_function_privilege(p.oid, 'EXECUTE') FROM pg_proc p WHERE p.proname = %s"
    assert shop.execute(allowed, [f"notifications_accept_{helper}"]).fetchall() == [(False,)]


def test_no_search_path_or_temporary_table_leads_it_astray(shop: Connection, client: Client) -> None:
    for table in ("client", "notification", "idempotency_record", "channel_rules"):
        shop.execute(f"CREATE TEMPORARY TABLE {table} (id bigint, name text, is_active boolean)")
    shop.execute("CREATE FUNCTION pg_temp.length(text) RETURNS integer LANGUAGE sql AS 'SELECT 1 / 0'")
    shop.execute("CREATE FUNCTION pg_temp.notifications_uuid7() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'")
    shop.execute("SET search_path = pg_temp, public, pg_catalog")

    id_ = shop.execute(ACCEPT.replace("notifications_accept", "public.notifications_accept"), [client.name]).fetchall()[
        0
    ][0]
    assert Notification.objects.get().id == id_


def test_every_definers_function_has_a_search_path_of_its_own(published: None) -> None:
    with direct_connection("a look") as looking:
        rows = looking.execute(
            "SELECT proname::text, proconfig FROM pg_proc"
            " WHERE prosecdef AND pronamespace = current_schema()::regnamespace"
        ).fetchall()
    assert ("notifications_accept", ["search_path=pg_catalog, pg_temp"]) in rows
    assert [name for name, config in rows if not config] == []
