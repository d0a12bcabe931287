"""What comes out of a real process: `configure` changes the whole interpreter, so each test has one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def stderr_of(script: str, *, form: str = "json", level: str = "info") -> str:
    prelude = (
        "import logging, structlog, threading\n"
        "from notifier import log\n"
        f"log.configure(level={level!r}, form={form!r}, secrets=['s3cr3tword'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", prelude + script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == ""
    return done.stderr


def lines_of(script: str, **options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr_of(script, **options).splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    [line] = lines_of("structlog.get_logger('a.b').info('sent', text='two\\nlines', n=1)")
    assert line["event"] == "sent"
    assert line["logger"] == "a.b"
    assert line["level"] == "info"
    assert (line["text"], line["n"]) == ("two\nlines", 1)


def test_timestamps_are_utc_and_iso() -> None:
    [line] = lines_of("structlog.get_logger('a').info('x')")
    assert line["timestamp"].endswith("Z")
    assert line["timestamp"][10] == "T"


def test_a_librarys_logger_goes_through_the_same_pipe() -> None:
    [line] = lines_of("logging.getLogger('library').warning('login %s refused', 's3cr3tword')")
    assert line["logger"] == "library"
    assert line["event"] == "login ••• refused"


def test_bound_context_is_on_every_line() -> None:
    lines = lines_of(
        "structlog.contextvars.bind_contextvars(correlation_id='c-1')\n"
        "structlog.get_logger('ours').info('x')\n"
        "logging.getLogger('theirs').info('y')\n"
    )
    assert [line["correlation_id"] for line in lines] == ["c-1", "c-1"]


def test_a_traceback_is_part_of_its_line_and_masked() -> None:
    [line] = lines_of(
        "try:\n    raise ValueError('with url: /services/x s3cr3tword')\n"
        "except ValueError:\n    structlog.get_logger('a').exception('failed')\n"
    )
    assert "Traceback" in line["exception"]
    assert "s3cr3tword" not in json.dumps(line)


def test_what_nobody_caught_is_logged_and_masked() -> None:
    [line] = lines_of("raise RuntimeError('s3cr3tword')")
    assert line["event"] == "uncaught"
    assert line["level"] == "critical"
    assert line["exception"].endswith("RuntimeError: •••")


def test_what_a_thread_did_not_catch_is_logged_and_masked() -> None:
    [line] = lines_of(
        "def work(): raise RuntimeError('s3cr3tword')\n"
        "thread = threading.Thread(target=work, name='beat'); thread.start(); thread.join()\n"
    )
    assert line["thread"] == "beat"
    assert line["exception"].endswith("RuntimeError: •••")


def test_a_warning_is_a_line_too() -> None:
    [line] = lines_of("import warnings; warnings.warn('old', stacklevel=1)")
    assert line["logger"] == "py.warnings"


def test_lower_levels_are_left_out() -> None:
    script = "log_ = structlog.get_logger('a'); log_.debug('low'); log_.info('mid'); log_.error('high')"
    assert [line["event"] for line in lines_of(script, level="error")] == ["high"]


def test_libraries_that_write_urls_and_bodies_stay_quiet_at_debug() -> None:
    script = "\n".join(
        f"logging.getLogger({name!r}).info('POST /services/T0/B0/x'); logging.getLogger({name!r}).debug('a body')"
        for name in ("urllib3.connectionpool", "requests", "twilio.http_client", "django.db.backends")
    )
    assert lines_of(script, level="debug") == []


def test_a_line_that_django_repeats_is_left_out_and_a_panics_traceback_is_not() -> None:
    lines = lines_of(
        "request = logging.getLogger('django.request')\n"
        "request.warning('Not Found: /x')\n"
        "try: 1/0\nexcept ZeroDivisionError: request.error('Internal Server Error: /x', exc_info=True)\n"
    )
    assert [line["event"] for line in lines] == ["Internal Server Error: /x"]


def test_the_console_form_is_for_eyes_and_masked_all_the_same() -> None:
    out = stderr_of(
        "try:\n    secret = 's3cr3tword'; raise ValueError(secret)\n"
        "except ValueError:\n    structlog.get_logger('a').exception('failed', to='ann@example.com')\n",
        form="console",
    )
    assert "failed" in out
    assert "Traceback" in out
    assert "a•••@example.com" in out
    assert "ValueError: •••" in out


def test_configuring_twice_writes_each_line_once() -> None:
    lines = lines_of("log.configure(level='info', form='json')\nlogging.getLogger('a').info('once')")
    assert [line["event"] for line in lines] == ["once"]


def test_what_a_signal_handler_would_write_is_not_written() -> None:
    lines = lines_of(
        "logging.getLogger('dramatiq.WorkerProcess(3)').info('Stopping worker process...')\n"
        "logging.getLogger('dramatiq.WorkerProcess(3)').error('Failed to import module.')\n"
        "logging.getLogger('dramatiq.worker.Worker').info('Shutting down...')\n"
    )
    assert [line["event"] for line in lines] == ["Failed to import module.", "Shutting down..."]
