"""The live server is held against its own schema by Schemathesis, with every check it has, in every phase."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from notifications import credentials
from notifications.models import Client
from notifications.states import Status
from tests.factories import ApiKeyFactory, AttemptFactory, NotificationFactory
from tests.integration.templates import template
from tests.processes import BIN, ROOT, plain_environment, web

pytestmark = pytest.mark.django_db(transaction=True)

SEED = os.environ.get("NOTIFIER_TESTS_SEED", "1")  # of the long run
HERE = Path(__file__).resolve().parent
# Every channel is there; no worker runs, so nothing is sent.
PROVIDERS = {
    "SLACK_WEB_HOOK_URL": "http://127.0.0.1:9/hook",
    "EMAIL_SENDER": "us@example.com",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_SECURITY": "none",
    "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
    "TWILIO_AUTH_TOKEN": "t0ken" * 6,
    "TWILIO_FROM_NUMBER": "+15005550006",
    "APPRISE_URLS": "default=json://127.0.0.1:9",
}


def schemathesis(tmp_path: Path, *arguments: str, seconds: int) -> str:
    """Its report. The server's own log must tell of no panic, either."""
    keys = {name: credentials.new_key().text for name in ("shop", "rival")}
    shop, _ = [ApiKeyFactory(text=key).client for key in keys.values()]
    text = {"message": "Hello"}
    template({"slack": text, "sms": text, "apprise": text, "email": {"subject": "Hello", **text}}, name="known")
    ids = "\n".join(f'"{id_}"' for id_ in _rows(shop))
    headers = {name: [{"name": "Authorization", "value": f"Bearer {key}"}] for name, key in keys.items()}
    clients = {"auth": [{"name": name, "fixedHeaders": header} for name, header in headers.items()]}
    (tmp_path / "schemathesis.toml").write_text((HERE / "schemathesis.toml").read_text())
    (tmp_path / "clients.json").write_text(json.dumps(clients))
    (tmp_path / "ids.txt").write_text(ids)
    with web(**PROVIDERS) as (running, url):
        done = subprocess.run(
            [
                *(str(BIN / "st"), "--no-color", "run", str(ROOT / "docs/openapi.yaml")),
                *("--url", url, "--checks", "all", *arguments),
            ],
            cwd=tmp_path,
            env=plain_environment(PYTHONPATH=str(ROOT)),
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        log = running.log
    report = done.stdout + done.stderr
    print(report)  # to be read, and quoted: `pytest -rP` shows it where all is well, too
    assert done.returncode == 0
    assert '"level": "error"' not in log
    return report


def _rows(client: Client) -> Iterator[UUID]:
    """Some in each state, most in those that can be resent; their ids are the same in each run."""
    resendable = {Status.FAILED, Status.UNKNOWN}
    for number, status in enumerate(each for each in Status for _ in range(20 if each in resendable else 3)):
        id_ = UUID(f"01a20000-0000-7000-8000-{number:012x}")
        row = NotificationFactory(id=id_, client=client, status=status.value)
        for attempt in range(1, row.attempt + (status is not Status.SENDING)):
            AttemptFactory(notification=row, number=attempt, outcome="transient")
        yield id_


@pytest.mark.timeout(450)
def test_every_answer_of_the_live_server_is_as_its_schema_says(tmp_path: Path) -> None:
    report = schemathesis(tmp_path, "--max-examples", "20", "--seed", "1", seconds=400)

    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in report
    assert "No issues found" in report


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_many_more_answers_are_as_the_schema_says(tmp_path: Path) -> None:
    assert "No issues found" in schemathesis(tmp_path, "--max-examples", "400", "--seed", SEED, seconds=1400)
