"""Many clients, shared keys, retries; connections cut at any byte, web servers killed: what they were told is judged.

In the manner of Jepsen: nothing is asked of the service while it runs but what clients ask, and the history of their
calls alone says what was promised.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import connection

from notifications.models import IdempotencyRecord, Notification
from tests import processes
from tests.integration.api.callers import Caller, new_caller

from .calls import History
from .clients import Clients
from .cutting import CuttingProxy
from .verdict import Stored, broken_promises

pytestmark = pytest.mark.django_db(transaction=True)

PROVIDER = {
    "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
    "TWILIO_AUTH_TOKEN": "t0ken" * 6,
    "TWILIO_FROM_NUMBER": "+15005550006",
}
SERVERS = 2
DOOMED = 0.15  # of all connections, while the faults last


class Web:
    """A web server that reaches Postgres through a proxy, and is reached through another."""

    def __init__(self, stack: ExitStack, seed: str) -> None:
        self._database = stack.enter_context(CuttingProxy(_reach_postgres, seed=f"{seed} database"))
        self.clients = stack.enter_context(CuttingProxy(self._reach_web, seed=f"{seed} clients"))
        self._life = stack.enter_context(ExitStack())
        self._start()

    def break_something(self, chance: random.Random) -> str:
        match chance.choice(["clients", "clients", "database", "database", "web"]):
            case "clients":
                return f"cut {self.clients.cut()} connections of clients"
            case "database":
                return f"cut {self._database.cut()} connections to Postgres"
            case _:
                os.killpg(self._running.popen.pid, signal.SIGKILL)
                self._life.close()
                self._start()
                return "killed a web server and started another"

    def doom(self, part: float) -> None:
        """From now on this part of all new connections ends at a random byte."""
        self.clients.doomed = self._database.doomed = part

    def stop(self) -> None:
        self._running.terminate()
        self._running.wait()

    def _start(self) -> None:
        server = processes.web(threads=8, DATABASE_URL=_database_url(self._database.port), **PROVIDER)
        self._running, url = self._life.enter_context(server)
        self._port = urlsplit(url).port or 0

    def _reach_web(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=5)


def _reach_postgres() -> socket.socket:
    known = connection.settings_dict
    host, port = str(known["HOST"]), int(known["PORT"] or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout=5)
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _database_url(port: int) -> str:
    """The test's database by TCP, through a proxy on this port."""
    known = urlsplit(processes.database_url())
    account = known.netloc.rpartition("@")[0]
    return f"postgresql://{account}@127.0.0.1:{port}{known.path}?sslmode=disable"


@contextmanager
def _faults(webs: list[Web], clients: Clients, *, seed: int, every: float) -> Iterator[list[str]]:
    """Something breaks about every so many seconds until the clients are through; yields what did."""
    done: list[str] = []
    failures: list[BaseException] = []
    stop = threading.Event()
    chance = random.Random(seed)

    def run() -> None:
        try:
            while clients.busy and not stop.wait(every * 2 * chance.random()):
                done.append(chance.choice(webs).break_something(chance))
        except BaseException as error:
            failures.append(error)
            raise

    for web in webs:
        web.doom(DOOMED)
    thread = threading.Thread(target=run, name="faults")
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(60)
        for web in webs:
            web.doom(0)
    if failures:
        raise failures[0]


def live(caller: Caller, *, seed: int, clients: int, keys: int, every: float) -> None:
    history = History()
    with ExitStack() as stack:
        webs = [Web(stack, f"{seed} {number}") for number in range(SERVERS)]
        ports = [web.clients.port for web in webs]
        asking = Clients(ports, caller.key, history, seed=seed, clients=clients, keys=keys)
        with asking, _faults(webs, asking, seed=seed, every=every) as done:
            asking.wait()
        for web in webs:
            web.stop()  # nothing is under way any more when the tables are read
    found = broken_promises(history.calls, _stored())

    unanswered, away = history.count(None), history.count(503)
    print(f"seed {seed}: {len(history.calls)} calls, {unanswered} without an answer, {away} times 503")
    print(f"{len(done)} faults: {done}")
    assert found == []
    assert asking.unanswered == []
    assert Notification.objects.count() == keys
    # Or it was too easy.
    assert unanswered
    assert done


def _stored() -> list[Stored]:
    answers = {
        id_: (bytes(record.body), record.location)
        for record in IdempotencyRecord.objects.all()
        for id_ in record.notification_ids
    }
    return [Stored(each.id, each.idempotency_key, each.body, *answers[each.id]) for each in Notification.objects.all()]


@pytest.fixture
def caller(transactional_db: None) -> Caller:
    return new_caller()


def test_what_clients_were_told_under_faults_could_have_been(caller: Caller) -> None:
    live(caller, seed=1, clients=8, keys=60, every=0.3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 8))
def test_what_clients_were_told_under_long_faults_could_have_been(caller: Caller, seed: int) -> None:
    live(caller, seed=seed, clients=16, keys=600, every=0.3)
