"""Behind a pooler in transaction mode (PgBouncer) each transaction may run in another session of Postgres."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.db import connection

from channels.sandbox.faults import Fault, Kind
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Client, Notification, Worker
from notifications.outbox import statement
from notifications.outbox.statement import direct_connection, run
from tests import processes
from tests.eventually import eventually
from tests.ports import free_port
from tests.statements import counting

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pooler() -> Iterator[str]:
    """A DATABASE_URL that leads through it to the test's own database, over four sessions for all."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    port, name = free_port(), connection.settings_dict["NAME"]
    with counting() as way, tempfile.TemporaryDirectory(prefix="notifier-pooler-") as folder:
        known = psycopg.conninfo.conninfo_to_dict(way.url)
        password = f" password={known['password']}" if "password" in known else ""
        target = f"host={known['host']} port={known['port']} dbname={known['dbname']} user={known['user']}{password}"
        Path(folder).chmod(0o755)
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(
            f"[databases]\n{name} = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            "unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n"
            "server_tls_sslmode = disable\nserver_round_robin = 1\n"
        )
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to be root
        server = subprocess.Popen([program, str(settings)], user=user, cwd="/", stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: _listens(port), what="the pooler")
            yield f"postgresql://{known['user']}@127.0.0.1:{port}/{name}"
        finally:
            server.terminate()
            server.wait(timeout=10)


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


def test_the_web_accepts_through_it(pooler: str, client_row: Client, providers: dict[str, str]) -> None:
    key = services.create_api_key(client_row).text
    with processes.web(**providers, DATABASE_URL=pooler) as (_, url):
        for n in range(20):
            request = Request(
                f"{url}/api/v1/slack",
                data=b'{"message": "hello"}',
                headers={
                    "Authorization": f"Bearer {key}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": f"key-{n % 10}",
                },
            )
            with urlopen(request, timeout=10) as answer:
                assert answer.status == 202

    assert Notification.objects.count() == 10


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


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
