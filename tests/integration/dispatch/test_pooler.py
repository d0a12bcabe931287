"""Behind a pooler in transaction mode (PgBouncer) each transaction may run in another session of Postgres."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import monotonic
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Client, Notification, Worker
from notifications.outbox import statement
from notifications.outbox.statement import direct_connection, run
from tests import processes
from tests.eventually import eventually
from tests.faults.proxy import Proxy
from tests.pooler import SESSIONS, pgbouncer
from tests.ports import free_port

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pooler() -> Iterator[str]:
    """A DATABASE_URL that leads through it to the test's own database."""
    with pgbouncer(processes.database_url()) as running:
        yield running.url


def test_all_is_sent_and_a_killed_workers_claims_are_taken_back_within_five_seconds(
    pooler: str, post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    sandbox.faults.set("slack", Fault(kind=Kind.LATENCY, latency_ms=200))
    for n in range(60):
        post(f"message {n}")
    through = {**providers, "DATABASE_URL": pooler}
    with processes.worker(**through) as first, processes.worker(**through) as second:
        sandbox.mailbox.wait(10, seconds=30)
        held_by = eventually(
            lambda: Notification.objects.filter(status="sending").values_list("worker_id", flat=True).first()
        )
        os.kill(Worker.objects.get(pk=held_by).pid, signal.SIGKILL)
        killed = monotonic()
        eventually(lambda: not Notification.objects.filter(worker_id=held_by).exists(), seconds=15, what="recovery")
        took = monotonic() - killed
        eventually(lambda: not Notification.objects.exclude(status="sent").exists(), seconds=60, what="all sent")
        logs = first.log + second.log

    assert "lease.lost" not in logs
    assert "lease.unreachable" not in logs
    assert took <= 5.0, f"{took:.2f} s"
    assert {m.body for m in sandbox.mailbox.messages()} == {f"message {n}" for n in range(60)}


def posted(url: str, api_key: str, key: str) -> None:
    request = Request(
        f"{url}/api/v1/slack",
        data=b'{"message": "hello"}',
        headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json", "Idempotency-Key": key},
    )
    with urlopen(request, timeout=10) as answer:
        assert answer.status == 202


def elsewhere() -> str:
    """The URL of another database of the same server."""
    parts = urlsplit(processes.database_url())
    return urlunsplit(parts._replace(path="/postgres"))


def test_the_web_accepts_through_it_and_leaves_its_patience_to_nobody(
    pooler: str, client_row: Client, providers: dict[str, str]
) -> None:
    key = services.create_api_key(client_row).text
    with processes.web(**providers, DATABASE_URL=pooler) as (_, url):
        for n in range(20):
            posted(url, key, f"key-{n % 10}")
        with psycopg.connect(pooler, autocommit=True, prepare_threshold=None) as migration:
            asked = {migration.execute("SHOW lock_timeout").fetchone() for _ in range(2 * SESSIONS)}

    assert Notification.objects.count() == 10
    assert asked == {("0",)}


def test_without_a_way_past_it_the_workers_look_each_second_and_say_so_once(
    pooler: str, post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    with processes.worker(**providers, DATABASE_URL=pooler) as worker:
        for n in range(3):
            post(f"message {n}")
            sandbox.mailbox.wait(n + 1, seconds=5)
        log = worker.log

    assert log.count("listen.pooled") == 1
    assert "set LISTEN_DATABASE_URL, or BROKER_URL" in log
    assert "listen.failed" not in log


def test_by_a_way_past_it_a_worker_is_woken_at_once(
    pooler: str, client_row: Client, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    key = services.create_api_key(client_row).text
    through = {**providers, "DATABASE_URL": pooler, "LISTEN_DATABASE_URL": processes.database_url()}
    took = []
    with processes.web(**through) as (_, url), processes.worker(**through) as worker:
        for n in range(9):
            began = monotonic()
            posted(url, key, f"key-{n}")
            sandbox.mailbox.wait(n + 1, seconds=5)
            took.append(monotonic() - began)
        log = worker.log

    assert median(took) < 0.3, took  # by looks alone half a second
    assert "listen." not in log


@pytest.mark.parametrize(("leads", "said"), [("through it", "through a pooler"), ("elsewhere", "to another database")])
def test_a_way_past_it_that_leads_nowhere_is_named_and_all_is_sent_the_same(
    pooler: str, post: Post, sandbox: Sandbox, providers: dict[str, str], leads: str, said: str
) -> None:
    listening = pooler if leads == "through it" else elsewhere()
    with processes.worker(**providers, DATABASE_URL=pooler, LISTEN_DATABASE_URL=listening) as worker:
        eventually(lambda: f"LISTEN_DATABASE_URL leads {said}" in worker.log, what="a word of it")
        post("hello")
        sandbox.mailbox.wait(1, seconds=5)


def test_a_way_past_it_that_is_closed_is_told_once(
    pooler: str, post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    with Proxy(("127.0.0.1", free_port())) as way:
        closed = f"postgresql://nobody@127.0.0.1:{way.port}/notifier"
        with processes.worker(**providers, DATABASE_URL=pooler, LISTEN_DATABASE_URL=closed) as worker:
            eventually(lambda: way.taken >= 4, what="four tries")
            post("hello")
            sandbox.mailbox.wait(1, seconds=5)
            log = worker.log

    assert log.count("listen.failed") == 1
    assert "listen.restored" not in log


def test_a_listening_session_that_was_ended_is_told_when_it_is_there_again(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    listening = "FROM pg_stat_activity WHERE application_name = 'notifier listen'"
    with processes.worker(**providers) as worker, connection.cursor() as cursor:

        def ended() -> bool:
            cursor.execute(f"SELECT bool_and(pg_terminate_backend(pid)) {listening} AND query LIKE 'LISTEN%'")
            return cursor.fetchone() == (True,)

        eventually(ended, what="a session that listens, ended")
        eventually(lambda: "listen.restored" in worker.log, what="another")
        post("hello")
        sandbox.mailbox.wait(1, seconds=5)
        log = worker.log

    assert log.count("listen.failed") == 1


def test_rows_are_walked_through_it(pooler: str, client_row: Client) -> None:
    walk = "from notifications.models import Client; print([c.name for c in Client.objects.iterator()])"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "--command", walk],
        cwd=processes.ROOT,
        env=processes.environment(DATABASE_URL=pooler),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"['{client_row.name}']\n", done.stderr


def test_through_one_that_knows_of_them_statements_are_prepared(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    with pgbouncer(processes.database_url(), newer=True) as newer:
        through = {**providers, "DATABASE_URL": newer.url, "DB_PREPARE": "on"}
        with processes.worker(**through) as first, processes.worker(**through) as second:
            for n in range(60):
                post(f"message {n}")
            sandbox.mailbox.wait(60, seconds=30)
            with psycopg.connect(newer.url, autocommit=True, prepare_threshold=None) as asking:
                asked = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%UPDATE worker%'"
                # In whichever session it asks: a beat comes to each in turn.
                eventually(lambda: asking.execute(asked).fetchone() == (1,), what="a prepared beat")
            logs = first.log + second.log
    assert "lease.unreachable" not in logs
    assert "relay.failed" not in logs


def test_a_rollback_through_it_takes_nobodys_prepared_statements(settings: Settings) -> None:
    settings.DB_PREPARE = "on"
    with (
        pgbouncer(processes.database_url(), newer=True, default_pool_size="1") as newer,
        psycopg.connect(newer.url, autocommit=True, prepare_threshold=None) as one,
        psycopg.connect(newer.url, autocommit=True, prepare_threshold=None) as other,
    ):
        for each in (one, other):
            statement._allow_plans(each)
        for _ in range(3):
            for each in (one, other):
                assert each.execute("SELECT 1 + %s::int", (1,), prepare=True).fetchone() == (2,)
            with one.transaction(force_rollback=True):
                one.execute("SELECT 2 + %s::int", (1,), prepare=True)


def test_where_nothing_is_to_be_prepared_nothing_is(settings: Settings) -> None:
    settings.DB_PREPARE = "off"
    with direct_connection("a test") as direct:
        assert direct.prepare_threshold is None


def test_a_direct_connection_keeps_its_plans() -> None:
    run("SELECT %(number)s::int", {"number": 1})
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int'")
        assert cursor.fetchone() == (1,)


def test_a_pooled_one_keeps_none(pooler: str) -> None:
    with psycopg.connect(pooler, autocommit=True, prepare_threshold=None) as pooled:
        statement._allow_plans(pooled)
        assert pooled.prepare_threshold is None
    with direct_connection("a test") as direct:
        assert direct.prepare_threshold is not None
