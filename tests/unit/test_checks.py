"""Wrong or contradictory settings are refused at start, by the name of the variable to mend."""

from __future__ import annotations

import secrets
import subprocess
import sys

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from channels import sandbox
from tests.processes import ROOT, plain_environment

GOOD = {
    **sandbox.environment(8025, 1025),
    "DATABASE_URL": "postgresql://notifier@127.0.0.1/notifier",
    "SECRET_KEY": secrets.token_urlsafe(60),
    "PUBLIC_URL": "https://notify.example.com",
}


def check(*arguments: str, **changed: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=ROOT,
        env=plain_environment(**{**GOOD, **changed}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_good_settings_pass_even_for_deployment() -> None:
    code, output = check("--deploy", "--fail-level", "WARNING")

    assert code == 0, output


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"DATABASE_URL": "mysql://root@127.0.0.1/notifier"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://notifier@127.0.0.1"}, "DATABASE_URL"),
        ({"LISTEN_DATABASE_URL": "mysql://root:hush@127.0.0.1/notifier"}, "LISTEN_DATABASE_URL must"),
        ({"LISTEN_DATABASE_URL": "postgresql://notifier:hush@127.0.0.1"}, "LISTEN_DATABASE_URL names no database"),
        ({"LISTEN_DATABASE_URL": GOOD["DATABASE_URL"], "DATABASE_URL": ""}, "LISTEN_DATABASE_URL is set"),
        ({"DB_PREPARE": "sometimes"}, "DB_PREPARE must be one of auto, on, off"),
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"BROKER_URL": "kafka://127.0.0.1"}, "BROKER_URL"),
        ({"BROKER_URL": "amqp://u:hush@one;redis://:hush@two"}, "address 2 of BROKER_URL"),
        ({"BROKER_QUEUE_TYPE": "quorum"}, "BROKER_QUEUE_TYPE"),
        ({"PUBLIC_URL": "notify.example.com"}, "PUBLIC_URL"),
        ({"SANDBOX_URL": "http://sandbox.example.com:8025"}, "SANDBOX_URL"),
        ({"WORKER_THREADS": "many"}, "WORKER_THREADS"),
        ({"WORKER_THREADS": "2"}, "WORKER_THREADS"),
        ({"WEB_PORT": "-1"}, "WEB_PORT"),
        ({"DEBUG": "perhaps"}, "DEBUG"),
        ({"IDEMPOTENCY_KEY_TTL": "12"}, "IDEMPOTENCY_KEY_TTL"),
        ({"RETENTION_DAYS": "1"}, "RETENTION_DAYS"),
        ({"REDACT_AFTER_DAYS": "2"}, "REDACT_AFTER_DAYS"),
        ({"REDACT_AFTER_DAYS": "90"}, "REDACT_AFTER_DAYS"),
        ({"SMTP_SECURITY": "ssl"}, "SMTP_SECURITY"),
        ({"SLACK_ON_UNKNOWN": "retry"}, "SLACK_ON_UNKNOWN"),
        ({"SMS_ON_UNKNOWN": "on"}, "SMS_ON_UNKNOWN"),
        ({"EMAIL_ON_UNKNOWN": "park"}, "EMAIL_ON_UNKNOWN"),
        ({"SLACK_RATE": "fast"}, "SLACK_RATE"),
        ({"SMS_RATE": "0/s"}, "SMS_RATE"),
        ({"EMAIL_RATE": "10"}, "EMAIL_RATE"),
        ({"EMAIL_SENDER": ""}, "EMAIL_SENDER"),
        ({"EMAIL_SENDER": "not an address"}, "EMAIL_SENDER"),
        ({"SMTP_USERNAME": "somebody"}, "SMTP_PASSWORD"),
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_FROM_NUMBER": "5550006"}, "TWILIO_FROM_NUMBER"),
        ({"TWILIO_MESSAGING_SERVICE_SID": f"MG{'0' * 32}"}, "TWILIO_MESSAGING_SERVICE_SID"),
        ({"APPRISE_ON_UNKNOWN": "retry"}, "APPRISE_ON_UNKNOWN"),
        ({"APPRISE_URLS": "json://hush@localhost"}, "APPRISE_URLS"),
        ({"APPRISE_URLS": "phone=hush://localhost"}, "APPRISE_URLS"),
        ({"APPRISE_URLS": "phone=json://hush@localhost,a:b=json://hush@localhost"}, "APPRISE_URLS"),
        ({"SLACK_WEB_HOOK_URL": "http://hooks.slack.com/services/T0/B0/hush"}, "SLACK_WEB_HOOK_URL"),
        ({"SLACK_WEBHOOKS": "ops"}, "SLACK_WEBHOOKS"),
        ({"SLACK_WEBHOOKS": "default=https://hooks.slack.com/services/T0/B0/hush"}, "SLACK_WEBHOOKS"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(changed: dict[str, str], named: str) -> None:
    code, output = check(**changed)

    assert code != 0
    assert named in output
    assert "hush" not in output


def test_an_unconfigured_channel_is_a_warning_and_not_an_error() -> None:
    code, output = check(TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="", TWILIO_FROM_NUMBER="")

    assert code == 0
    assert "sms has no provider" in output


def test_a_channel_that_nobody_has_to_configure_is_no_warning_and_needs_no_thread() -> None:
    code, output = check("--deploy", "--fail-level", "WARNING", WORKER_THREADS="4")

    assert code == 0, output


def test_a_configured_channel_needs_a_thread() -> None:
    code, output = check(WORKER_THREADS="4", APPRISE_URLS="phone=json://localhost")

    assert code != 0
    assert "WORKER_THREADS must be at least 5" in output


def test_plain_http_in_public_is_a_warning_of_the_deployment() -> None:
    code, output = check("--deploy", "--fail-level", "WARNING", PUBLIC_URL="http://notify.example.com")

    assert code != 0
    assert "PUBLIC_URL" in output


def test_an_entry_with_a_wrong_policy_is_an_error_of_the_check() -> None:
    entry = {"backend": "channels.slack.SlackWebhook", "on_unknown": "retry", "batch": 20}
    with override_settings(NOTIFIER_CHANNELS={"chat": entry}):
        found = [message for message in run_checks(tags=["notifier"]) if message.id == "notifier.E005"]

    assert len(found) == 1
    assert '["chat"]["on_unknown"]' in found[0].msg
