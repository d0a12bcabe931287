"""`manage.py sandbox` as a process: it says when it is ready, and ends when it is told to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from channels.sandbox import environment as sandbox_environment
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
READY = re.compile(r"sandbox ready http=127\.0\.0\.1:(\d+) smtp=127\.0\.0\.1:(\d+)\n")
LIMIT = 30  # seconds: Python starts slowly on a busy machine


def environment(**extra: str) -> dict[str, str]:
    # A database that is not there: the sandbox needs none.
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    return {**os.environ, "DATABASE_URL": nowhere, "SECRET_KEY": "x" * 50, **extra}


@contextmanager
def started(*options: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", "sandbox", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(**extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ports(process: subprocess.Popen[str]) -> tuple[int, int]:
    assert process.stdout
    ready = READY.fullmatch(process.stdout.readline())
    assert ready
    return int(ready[1]), int(ready[2])


def test_free_ports_are_told_on_one_line() -> None:
    with started("--port", "0", "--smtp-port", "0") as process:
        http, _ = ports(process)
        assert requests.get(f"http://127.0.0.1:{http}/healthz", timeout=5).text == "ok"


def test_the_ports_come_from_the_settings() -> None:
    http, smtp = free_port(), free_port()
    with started(SANDBOX_PORT=str(http), SANDBOX_SMTP_PORT=str(smtp)) as process:
        assert ports(process) == (http, smtp)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(number: signal.Signals) -> None:
    with started("--port", "0", "--smtp-port", "0") as process:
        http, _ = ports(process)
        with requests.Session() as session:
            session.get(f"http://127.0.0.1:{http}/", timeout=5)  # and stays connected
            process.send_signal(number)
            assert process.wait(timeout=10) == 0
        assert process.stderr
        assert process.stderr.read() == ""


def test_a_port_in_use_is_a_clear_error() -> None:
    with started("--port", "0", "--smtp-port", "0") as first:
        http, _ = ports(first)
        with started("--port", str(http), "--smtp-port", "0") as second:
            assert second.wait(timeout=LIMIT) == 1
            assert second.stderr
            assert second.stderr.read().startswith("CommandError: The sandbox cannot start: ")


def test_a_journal_outlives_a_sandbox_that_was_killed(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with started("--port", "0", "--smtp-port", "0", "--journal", str(journal)) as process:
        http, smtp = ports(process)
        url = sandbox_environment(http, smtp)["SLACK_WEB_HOOK_URL"]
        assert requests.post(url, json={"text": "remember me"}, timeout=5).text == "ok"
        process.kill()
        process.wait(timeout=10)
    (line,) = journal.read_text().splitlines()
    assert json.loads(line)["body"] == "remember me"


def test_the_mapping_to_the_sandbox_needs_the_standard_library_alone() -> None:
    # The command that starts everything reads it before Django is set up.
    check = "import sys, channels.sandbox; print(sorted({'django', 'requests', 'aiosmtpd'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "[]\n"


def test_an_ipv6_host_is_written_as_urls_need_it() -> None:
    assert sandbox_environment(1, 2, "::1")["TWILIO_BASE_URL"] == "http://[::1]:1"
    assert sandbox_environment(1, 2, "::1")["SMTP_HOST"] == "::1"
