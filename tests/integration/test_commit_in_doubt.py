"""A commit whose synchronous standby did not answer: it stands here, and a failover now would lose it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
import requests

from channels import sandbox
from notifier import embedded
from tests import processes
from tests.eventually import eventually

pytestmark = pytest.mark.django_db


@pytest.fixture
def database() -> Iterator[dict[str, object]]:
    """A server of this test's own, migrated: its settings are about to be turned."""
    with tempfile.TemporaryDirectory(prefix="notifier-standby-") as folder:
        data_dir = Path(folder)
        data_dir.chmod(0o711)
        with embedded.Server(data_dir):
            yield embedded.connection(data_dir)


def test_a_commit_that_no_standby_has_is_a_503_and_the_retry_is_answered(database: dict[str, object]) -> None:
    query = urlencode({"host": database["HOST"]})
    url = f"postgresql://{database['USER']}@/{database['NAME']}?{query}"
    environment = {"DATABASE_URL": url, **sandbox.environment(9, 9)}
    key = _prepared(environment)
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "order:1"}
    with processes.web(**environment) as (_, address), psycopg.connect(url, autocommit=True) as operator:
        _standby(operator, "nobody")
        answers: list[requests.Response] = []
        posting = threading.Thread(
            target=lambda: answers.append(
                requests.post(f"{address}/api/v1/slack", json={"message": "hello"}, headers=headers, timeout=20)
            )
        )
        posting.start()
        waiting = eventually(
            lambda: operator.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone(),
            what="a commit that waits for its standby",
        )
        operator.execute("SELECT pg_cancel_backend(%s)", waiting)
        posting.join(20)

        assert (answers[0].status_code, answers[0].json()["code"]) == (503, "unavailable")
        assert answers[0].headers["Retry-After"]

        _standby(operator, "")
        again = requests.post(f"{address}/api/v1/slack", json={"message": "hello"}, headers=headers, timeout=20)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        assert operator.execute("SELECT count(*) FROM notification").fetchone() == (1,)


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])  # its wait, or its session: both stand
def test_those_that_share_a_commit_in_doubt_are_all_told_so_and_it_is_not_tried_again(
    database: dict[str, object], how: str
) -> None:
    query = urlencode({"host": database["HOST"]})
    url = f"postgresql://{database['USER']}@/{database['NAME']}?{query}"
    environment = {"DATABASE_URL": url, **sandbox.environment(9, 9)}
    headers = {"Authorization": f"Bearer {_prepared(environment)}"}

    with (
        processes.web(**environment, WEB_PROCESSES="1") as (_, address),
        psycopg.connect(url, autocommit=True) as operator,
        ThreadPoolExecutor(4) as clients,
    ):

        def post(number: int) -> requests.Response:
            mine = {**headers, "Idempotency-Key": f"order:{number}"}
            return requests.post(f"{address}/api/v1/slack", json={"message": "hello"}, headers=mine, timeout=20)

        _standby(operator, "nobody")
        answers = [clients.submit(post, number) for number in range(4)]
        while not all(answer.done() for answer in answers):
            operator.execute(f"SELECT {how}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'".encode())

        assert [answer.result().status_code for answer in answers] == [503] * 4
        assert operator.execute("SELECT count(*) FROM notification").fetchone() == (4,)

        _standby(operator, "")
        assert [post(number).headers["Idempotent-Replayed"] for number in range(4)] == ["true"] * 4


def _prepared(environment: dict[str, str]) -> str:
    """Migrate, and make an API key."""
    key = ""
    for command in (["migrate", "--verbosity", "0"], ["create_api_key", "a client"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=processes.ROOT,
            env=processes.environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        key = done.stdout.strip()
    return key


def _standby(operator: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    operator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    operator.execute("SELECT pg_reload_conf()")
    eventually(
        lambda: operator.execute("SHOW synchronous_standby_names").fetchone() == (name,), what="the setting to be read"
    )
