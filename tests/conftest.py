"""Every test run has an environment and a Postgres of its own: nobody's .env and .data are touched.

With DATABASE_URL set, that server is used instead: pytest-django makes and drops databases in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from notifier import embedded
from tests.contract_table import ContractTable

# Set by whoever starts the server, so that the workers of pytest-xdist share it.
_DATA_DIR_OF_THE_RUN = "NOTIFIER_TESTS_DATA_DIR"
_KEPT = {"DATABASE_URL", "TWILIO_OPENAPI"}  # the second names a file that tests read
_OURS = (
    *("SLACK_", "TWILIO_", "SMS_", "SMTP_", "EMAIL_", "SANDBOX_", "WEB_", "WORKER_", "CORS_", "IDEMPOTENCY_", "LOG_"),
    *("LISTEN_DATABASE_URL", "DB_PREPARE"),
    *("DATABASE_", "BROKER_", "DATA_DIR", "PUBLIC_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "RETENTION_"),
    *(
        "APPRISE_",
        "RESEND_",
        "WEBHOOK_",
        "NOTIFIER_ROLE",
        "TRUST_FORWARDED_PROTO",
        "GRANIAN_",
        "METRICS_",
        "READY_",
        "REDACT_",
        "CHORES",
        "OTEL_",
        "PROMETHEUS_",
        "DJANGO_",
        "DRAMATIQ_",
        "PG",
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="run the tests that are marked as slow, too")
    parser.addoption(
        "--contract-table",
        action="store_true",
        help="write artifacts/contract.txt, what became of each case of the contract with each backend, and show it",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-slow") or "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--contract-table"):
        config.pluginmanager.register(ContractTable(config.rootpath / "artifacts" / "contract.txt"))
    if _DATA_DIR_OF_THE_RUN not in os.environ:
        _prepare(config)
    # Only now: whoever names the settings earlier lets pytest-django read them too early.
    os.environ["DJANGO_SETTINGS_MODULE"] = "notifier.settings"
    from django.conf import settings

    settings.DATABASES  # noqa: B018 (reads the settings)


def _prepare(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith(_OURS) and name not in _KEPT]:
        del os.environ[name]
    # Where we are root the server runs as another user: it must pass through, and nobody can look in.
    data_dir = Path(tempfile.mkdtemp(prefix="notifier-tests-"))
    data_dir.chmod(0o711)
    config.add_cleanup(lambda: shutil.rmtree(data_dir))
    os.environ.update(
        {
            _DATA_DIR_OF_THE_RUN: str(data_dir),
            "DATA_DIR": str(data_dir),
            "SECRET_KEY": secrets.token_urlsafe(50),
            "NOTIFIER_ENV_FILE": "",
            "SLACK_RATE": "off",  # at Slack's own pace few of these tests would end: those of pacing say how fast
            "TALLIES": "off",  # a thread of this process would write beside tests, and while tables are emptied
            "NO_PROXY": "localhost,127.0.0.1,::1",
        }
    )
    config.add_cleanup(lambda: os.environ.pop(_DATA_DIR_OF_THE_RUN))
    if not os.environ.get("DATABASE_URL"):
        # These rows need not survive a power cut; what must is tested with servers of its own.
        server = embedded.Server(data_dir, {"fsync": "off", "full_page_writes": "off", "max_connections": "300"})
        config.add_cleanup(server.stop)
        server.start()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """pytest-django's own, and at the end an end to sessions that a test's threads or pools left open."""
    yield
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
