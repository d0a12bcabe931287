"""What the environment's lists make of the channels: in processes of their own, as the service reads its settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SECRET = "hunter22secret"
TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
    "TWILIO_AUTH_TOKEN": "t" * 32,
    "TWILIO_FROM_NUMBER": "+15005550006",
}
MAIL = {"EMAIL_SENDER": "Shop <shop@example.com>", "SMTP_HOST": "smtp.example.com", "RESEND_API_KEY": "re_123456"}
PUBLIC = {
    "DATABASE_URL": "postgresql://notifier:none@127.0.0.1:1/notifier",
    "PUBLIC_URL": "https://notify.example.com",
    "SLACK_WEB_HOOK_URL": "https://hooks.slack.com/services/T0/B0/X",
}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "NOTIFIER_ENV_FILE": "", "SECRET_KEY": "6Zk1vQ8sXw3LrT7yBn" * 4, **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )


READ = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "notifier.settings"
import django; django.setup()
from channels.registry import by_head, twins_by_head
from notifier.up.plan import Plan
print(json.dumps({
    "live": {head: each.backend.name for head, each in by_head().items() if each.backend.configured},
    "twins": {head: each.backend.name for head, each in twins_by_head().items() if each.backend.configured},
    "rates": {head: str(each.rate or "off") for head, each in by_head().items()},
    "played": Plan().played,
    "children": dict(Plan().environment),
}))
"""


def read(**variables: str) -> dict[str, Any]:
    done = run("-c", READ, **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_list_is_the_first_backend_and_its_backups() -> None:
    found = read(
        **TWILIO,
        **MAIL,
        SMS_BACKENDS=f"twilio,apprise:json://u:{SECRET}@a.example/{{to}},apprise:json://b.example/{{to}}",
        EMAIL_BACKENDS="resend,smtp,django:django.core.mail.backends.smtp.EmailBackend?host=a.example&port=25",
        SLACK_WEBHOOKS="ops=https://hooks.slack.com/services/T0/B0/X",
        SLACK_BACKENDS="webhooks,apprise:ntfy://n.example/alerts",
        EMAIL_RATE="5/s",
        WORKER_THREADS="8",
    )
    live = {head: name for head, name in found["live"].items() if head != "webhook"}
    assert live == {
        "slack": "slack_webhook",
        "slack@apprise": "apprise",
        "email": "resend",
        "email@smtp": "smtp_email",
        "email@django": "django_email",
        "sms": "twilio_sms",
        "sms@apprise": "apprise",
        "sms@apprise2": "apprise",
    }
    assert {found["rates"][head] for head in ("email", "email@smtp", "email@django")} == {"5/s"}


def test_the_usual_ones_need_no_list() -> None:
    found = read(**TWILIO, EMAIL_SENDER="shop@example.com", SMTP_HOST="smtp.example.com")
    assert {head: found["live"][head] for head in ("email", "sms")} == {"email": "smtp_email", "sms": "twilio_sms"}


def test_test_keys_reach_the_sandbox_whichever_backends_there_are() -> None:
    found = read(
        **MAIL,
        EMAIL_BACKENDS="resend",
        SMS_BACKENDS="apprise:json://a.example/{to}",
        SLACK_BACKENDS="apprise:json://a.example/{to}",
        SANDBOX_URL="http://127.0.0.1:8025",
    )
    assert found["twins"] == {"slack": "slack_webhook", "email": "smtp_email", "sms": "twilio_sms"}


def test_what_the_sandbox_plays_has_nothing_of_an_unfinished_list() -> None:
    found = read(
        EMAIL_BACKENDS="resend,smtp",
        RESEND_BASE_URL="http://127.0.0.1:9",
        SMS_BACKENDS="twilio,apprise:json://a.example/{to}",
        SMS_MAX_SEGMENTS="3",
    )
    children = found["children"]
    assert found["played"] == ["slack", "email", "sms"]
    assert [children[name] for name in ("EMAIL_BACKENDS", "RESEND_BASE_URL", "SMS_BACKENDS")] == ["", "", ""]
    assert children["SMS_MAX_SEGMENTS"] == "3"


def test_what_has_a_provider_keeps_its_list() -> None:
    found = read(**MAIL, EMAIL_BACKENDS="resend,smtp", SMS_BACKENDS="apprise:json://a.example/{to}")
    assert found["played"] == ["slack"]
    assert found["children"]["EMAIL_BACKENDS"] == "resend,smtp"


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        ("SMS_BACKENDS", f"twilio,apprise:json://u:{SECRET}@a.example"),  # no {to}
        ("SMS_BACKENDS", f"twilio,apprise:nosuch://{SECRET}/{{to}}"),
        ("SMS_BACKENDS", f"twilio,apprise:json://[{SECRET}/{{to}}"),
        ("EMAIL_BACKENDS", f"smtp,apprise:nosuch://{SECRET}/{{to}}"),
        ("EMAIL_BACKENDS", f"django:nowhere.EmailBackend?token={SECRET}"),
        ("EMAIL_BACKENDS", f"django:django.core.mail.backends.smtp.EmailBackend?{SECRET}"),
        ("SLACK_BACKENDS", f"apprise:nosuch://{SECRET}"),
        ("SLACK_BACKENDS", f"json://{SECRET}"),
    ],
)
def test_a_wrong_list_is_refused_by_the_variable_and_not_shown(variable: str, wrong: str) -> None:
    done = run("manage.py", "check", **TWILIO, **MAIL, **{variable: wrong})

    assert done.returncode != 0
    assert variable in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_lists_that_are_whole_are_fit_for_production() -> None:
    lists = {"SMS_BACKENDS": "twilio,apprise:json://a.example/{to}", "EMAIL_BACKENDS": "resend,smtp"}
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **TWILIO, **MAIL, **PUBLIC, **lists)
    assert done.returncode == 0, done.stderr


def test_a_backup_that_lacks_its_variables_is_told() -> None:
    given = {**MAIL, "RESEND_API_KEY": "", "EMAIL_BACKENDS": "smtp,resend"}
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **TWILIO, **PUBLIC, **given)
    assert done.returncode != 0
    assert "email@resend has no provider" in done.stderr


LOG = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "notifier.settings"
import django; django.setup()
import structlog
structlog.get_logger().warning("a library said: " + os.environ["SAID"])
"""


@pytest.mark.parametrize(
    "said",
    [
        f"https://u:{SECRET}@a.example/+14155552671",
        f"json://u:{SECRET}@a.example/{{to}}",
        f"the word is {SECRET}",
        "the token is tok-server-1",
    ],
)
def test_what_a_list_holds_that_is_secret_is_masked_in_logs(said: str) -> None:
    done = run(
        "-c",
        LOG,
        **MAIL,
        SMS_BACKENDS=f"apprise:json://u:{SECRET}@a.example/{{to}}",
        EMAIL_BACKENDS="smtp,django:django.core.mail.backends.smtp.EmailBackend?token=tok-server-1",
        SAID=said,
        LOG_FORMAT="json",
    )
    assert "a library said" in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "tok-server-1" not in done.stdout + done.stderr
