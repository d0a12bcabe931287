"""Connections of the web server: whoever does not answer in time is given up, and not asked by every thread at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from time import monotonic

import psycopg
import pytest
from django.db import connection

from notifier import deadline
from notifier.deadline import Connection, Silence
from tests.eventually import eventually
from tests.pooler import SESSIONS, pgbouncer
from tests.processes import database_url

pytestmark = pytest.mark.django_db(transaction=True)

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_silence", Silence())
    monkeypatch.setattr(deadline, "ANSWER_WAIT", timedelta(seconds=0.5))


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://127.0.0.1:{listener.getsockname()[1]}/nothing?connect_timeout=2"


def sleeping() -> int:
    with connection.cursor() as cursor:
        cursor.execute(SLEEPING)
        count: int = cursor.fetchone()[0]
        return count


def test_a_statement_without_an_answer_is_canceled_and_its_connection_closed() -> None:
    asked = Connection.connect(database_url(), autocommit=True)

    with pytest.raises(psycopg.OperationalError, match="did not answer"):
        asked.execute("SELECT pg_sleep(60)")

    assert asked.closed
    eventually(lambda: sleeping() == 0, what="nobody sleeps any more")


def test_a_server_that_is_only_slow_is_asked_again_at_once() -> None:
    asked = Connection.connect(database_url(), autocommit=True)
    with pytest.raises(psycopg.OperationalError):
        asked.execute("SELECT pg_sleep(60)")

    with Connection.connect(database_url(), autocommit=True) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_an_answer_in_time_and_an_error_come_as_ever() -> None:
    with Connection.connect(database_url(), autocommit=True) as asked:
        assert asked.execute("SELECT pg_sleep(0.1), 1").fetchone() == ("", 1)
        with pytest.raises(psycopg.errors.DivisionByZero):
            asked.execute("SELECT 1 / 0")
        assert asked.execute("SELECT 1").fetchone() == (1,)


def test_while_a_server_is_silent_one_thread_asks_and_the_others_fail_at_once(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "ASK_EVERY", timedelta())
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        Connection.connect(nobody)

    together, seconds = threading.Barrier(4), []

    def ask() -> None:
        together.wait(10)
        began = monotonic()
        with pytest.raises(psycopg.OperationalError):
            Connection.connect(nobody)
        seconds.append(monotonic() - began)

    with ThreadPoolExecutor(4) as threads:
        for asking in [threads.submit(ask) for _ in range(4)]:
            asking.result(20)

    assert sorted(took > 1.5 for took in seconds) == [False, False, False, True]


def test_a_connection_from_before_the_silence_is_given_up_at_once(nobody: str) -> None:
    idle = Connection.connect(database_url(), autocommit=True)
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        Connection.connect(nobody)

    with pytest.raises(psycopg.OperationalError, match="silent a moment ago"):
        idle.execute("SELECT 1")

    assert idle.closed


def test_a_server_that_was_silent_is_asked_again_in_a_while_and_by_all_once_it_answers(nobody: str) -> None:
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        Connection.connect(nobody)
    with pytest.raises(psycopg.OperationalError, match="silent a moment ago"):
        Connection.connect(database_url())

    def answers() -> bool:
        try:
            Connection.connect(database_url()).close()
        except psycopg.OperationalError:
            return False
        return True

    eventually(answers, what="an answer")
    assert answers()
    assert answers()


def test_through_a_pooler_a_statement_is_canceled_as_well() -> None:
    with pgbouncer(database_url()) as pooler:
        asked = Connection.connect(pooler.url, autocommit=True)
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            asked.execute("SELECT pg_sleep(60)")

        eventually(lambda: sleeping() == 0, what="nobody sleeps any more")
        Connection.connect(pooler.url, autocommit=True).close()  # a server that is only slow


def test_a_pooler_that_takes_connections_to_a_silent_server_ends_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "ASK_EVERY", timedelta())
    monkeypatch.setattr(deadline, "FIRST_ANSWER", timedelta(seconds=0.5))
    with pgbouncer(database_url()) as pooler, ExitStack() as held:
        for _ in range(SESSIONS):
            held.enter_context(psycopg.connect(pooler.url)).execute("SELECT 1")  # keeps its session
        waiting = Connection.connect(pooler.url, autocommit=True)
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            waiting.execute("SELECT 1")

        for _ in range(2):
            with pytest.raises(psycopg.errors.ConnectionTimeout, match="still silent"):
                Connection.connect(pooler.url)
        held.close()

        for autocommit in (True, False):
            with Connection.connect(pooler.url, autocommit=autocommit) as again:
                assert again.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
