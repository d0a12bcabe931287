from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from notifier.environment import BASE_DIR
from tests import processes
from tests.eventually import eventually

if TYPE_CHECKING:
    from notifications.lease import Lease

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lease() -> Iterator[Lease]:
    from notifications.lease import Lease

    running = Lease()
    running.start()
    try:
        eventually(lambda: running.worker_id, what="the worker has its lease")
        yield running
    finally:
        running.stop()


def check(**options: object) -> None:
    call_command("check_worker", stdout=StringIO(), **options)


def test_a_worker_that_beats_is_healthy(lease: Lease) -> None:
    check()


def test_a_host_without_a_worker_is_not_healthy() -> None:
    with pytest.raises(CommandError, match="0 registered"):
        check(patience=0.6)


def test_the_worker_of_another_host_does_not_count(lease: Lease) -> None:
    with pytest.raises(CommandError, match="No worker beats on elsewhere"):
        check(host="elsewhere", patience=1.5)


def test_a_worker_whose_beat_stands_still_is_not_healthy() -> None:
    from notifications.models import Worker

    Worker.objects.create(host=socket.gethostname(), pid=1, beat=7, started_at=timezone.now())
    with pytest.raises(CommandError, match="1 registered"):
        check(patience=0.6)


def test_the_dead_predecessor_of_a_worker_that_beats_does_no_harm(lease: Lease) -> None:
    from notifications.models import Worker

    Worker.objects.create(host=socket.gethostname(), pid=1, beat=7, started_at=timezone.now())
    check()


def test_a_database_that_does_not_answer_is_not_healthy() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens on it, and nobody else can take it
        port = bound.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "manage.py", "check_worker"],
            cwd=BASE_DIR,
            env=processes.environment(DATABASE_URL=f"postgresql://notifier:hidden@127.0.0.1:{port}/notifier"),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert answer.returncode == 1
    assert "database does not answer" in answer.stderr
    assert "hidden" not in answer.stderr
