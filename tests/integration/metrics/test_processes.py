"""Metrics of real processes: added up, kept after a death, and exported by a worker."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Client, Notification, Tally
from tests import processes
from tests.eventually import eventually
from tests.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)

Scraped = dict[tuple[str, tuple[str, ...]], float]


def scraped(url: str) -> Scraped:
    with urlopen(f"{url}/metrics", timeout=10) as answer:
        assert answer.status == 200
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (each.name, tuple(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def post(url: str, key: str, name: str) -> None:
    body = {"channel": "slack", "to": "default", "message": "hello"}
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name, "Content-Type": "application/json"}
    with urlopen(Request(f"{url}/api/v1/notifications", json.dumps(body).encode(), headers), timeout=10) as answer:
        assert answer.status == 202


@pytest.fixture
def key() -> str:
    return services.create_api_key(Client.objects.create(name="a client")).text


def test_what_web_and_worker_did_is_added_up_and_outlives_them(key: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "metrics")
    port = str(free_port())
    accepted = ("notifier_accepted_total", ("slack",))
    replayed = ("notifier_replayed_by_key_total", ("slack",))
    attempts = ("notifier_attempts_total", ("slack", "200", "accepted"))  # in the order of the labels' names
    with Sandbox() as sandbox:
        known = {"METRICS_DIR": folder, **sandbox.environment()}
        with processes.web(**known) as (first, one), processes.web(**known) as (_, two):
            for name in ("a", "b", "c"):
                post(one, key, name)
            post(two, key, "d")
            post(two, key, "a")

            assert scraped(one)[accepted] == scraped(two)[accepted] == 4
            assert scraped(one)[replayed] == 1

            with processes.worker(METRICS_PORT=port, **known) as worker:
                eventually(lambda: Notification.objects.filter(status="sent").count() == 4, what="all sent")
                found = eventually(lambda: (s := scraped(two)).get(attempts) == 4 and s, what="counted attempts")
                assert found["notifier_commit_to_provider_seconds_count", ("slack",)] == 4
                assert found["notifier_claim_seconds_count", ()] >= 1
                assert found["notifier_record_seconds_count", ()] >= 1
                assert scraped(f"http://127.0.0.1:{port}")[attempts] == 4
                os.killpg(worker.popen.pid, signal.SIGKILL)
            os.killpg(first.popen.pid, signal.SIGKILL)

            assert scraped(two)[attempts] == 4
            assert scraped(two)[accepted] == 4


def test_the_tallies_of_all_processes_are_one(key: str, tmp_path: Path) -> None:
    def tallied() -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for channel, kind, count in Tally.objects.values_list("channel", "kind", "count"):
            found[channel, kind] = found.get((channel, kind), 0) + count
        return found

    with Sandbox() as sandbox, processes.web(processes=2, **sandbox.environment()) as (running, url):
        eventually(lambda: "Started worker-2" in running.log, what="both processes")
        for number in range(20):
            post(url, key, f"n{number}")
        post(url, key, "n0")
        running.terminate()
        running.wait()
        assert tallied()["slack", "accepted"] == 20  # written at its end
        with processes.worker(**sandbox.environment()) as worker:
            eventually(lambda: Notification.objects.filter(status="sent").count() == 20, what="all sent")
            worker.terminate()
            worker.wait()  # which writes what it has
        found = tallied()

    assert found["slack", "sent"] == 20
    assert found["slack", "latency"] == 20
    assert found["slack", "replayed"] == 1


@contextmanager
def away() -> Iterator[None]:
    """This test's database lets nobody in but who is in already, and the web server is not."""
    name = connection.settings_dict["NAME"]
    connection.ensure_connection()
    parameters = connection.get_connection_params()
    known = {each: parameters[each] for each in ("host", "port", "user", "password") if each in parameters}
    allow = "ALTER DATABASE {} ALLOW_CONNECTIONS {}"
    with psycopg.connect(**known, dbname="postgres", autocommit=True) as other:
        try:
            other.execute(sql.SQL(allow).format(sql.Identifier(name), sql.SQL("false")))
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
                [name, connection.connection.info.backend_pid],
            )
            yield
        finally:
            other.execute(sql.SQL(allow).format(sql.Identifier(name), sql.SQL("true")))


def test_away_from_its_database_the_web_server_still_answers(key: str) -> None:
    with Sandbox() as sandbox, processes.web(**sandbox.environment()) as (_, url):
        post(url, key, "a")
        assert scraped(url)["notifier_database_up", ()] == 1

        with away():
            found = eventually(lambda: (s := scraped(url))["notifier_database_up", ()] == 0 and s, what="no database")
        assert found["notifier_accepted_total", ("slack",)] >= 1
        assert not any(name == "notifier_workers" for name, _ in found)

        eventually(lambda: scraped(url)["notifier_database_up", ()] == 1, what="the database")


def test_a_taken_port_is_said_and_the_worker_works(key: str) -> None:
    with socket.socket() as taken, Sandbox() as sandbox:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with processes.worker(METRICS_PORT=port, METRICS_HOST="127.0.0.1", **sandbox.environment()) as worker:
            eventually(lambda: "metrics.not_exported" in worker.log, what="its complaint")
            assert worker.popen.poll() is None
