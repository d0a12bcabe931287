"""Settings that are wrong or contradict each other are refused at start, by the name of the variable to mend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from channels.registry import by_head, channels, twins_by_head

SHORTEST_KEY_TTL: Final = timedelta(hours=24)  # a client that retries the next day must still be recognised


@register("notifier")
def channel_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Half given, malformed or contradictory providers; and channels that would refuse every request."""
    found: list[CheckMessage] = []
    try:
        all_known = by_head()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="notifier.E005")]
    for known in all_known.values():
        problems = known.backend.problems()
        found += [
            Error(f"{problem.variable}: {problem.detail}", obj=f"channel {known.head}", id="notifier.E001")
            for problem in problems
        ]
        if not problems and not known.backend.configured and not known.unused:
            found.append(
                checks.Warning(
                    f"The backup {known.head} has no provider: nothing is sent by it."
                    if known.backup
                    else f"The channel {known.name} has no provider: requests for it are refused.",
                    hint="Set its variables (see .env.example).",
                    id="notifier.W001",
                )
            )
    return found


@register("notifier")
def sandbox_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The address of the sandbox, as each channel's twin finds it."""
    try:
        all_twins = twins_by_head()
    except ImproperlyConfigured:
        return []  # said of the channel
    return [
        Error(f"SANDBOX_URL: {problem.detail}", obj=f"test keys, channel {twin.head}", id="notifier.E006")
        for twin in all_twins.values()
        for problem in twin.backend.problems()
    ]


@register("notifier")
def service_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    ttl: timedelta = settings.IDEMPOTENCY_KEY_TTL
    if ttl < SHORTEST_KEY_TTL:
        found.append(
            Error(
                "IDEMPOTENCY_KEY_TTL must be at least 24 (hours): a retry of the next day must find its key.",
                id="notifier.E002",
            )
        )
    if timedelta(days=settings.RETENTION_DAYS) < ttl:
        found.append(
            Error(
                "RETENTION_DAYS must be no shorter than IDEMPOTENCY_KEY_TTL: a key must not outlive what it made.",
                id="notifier.E003",
            )
        )
    if redact_after := timedelta(days=getattr(settings, "REDACT_AFTER_DAYS", 0)):
        found += _redaction_settings(redact_after, ttl)
    if (needed := _channels_with_threads()) > settings.WORKER_THREADS:
        found.append(
            Error(
                f"WORKER_THREADS must be at least {needed}, one for each channel: "
                "a slow channel must not take the threads of another.",
                id="notifier.E004",
            )
        )
    return found


def _redaction_settings(redact_after: timedelta, ttl: timedelta) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if redact_after < ttl:
        found.append(
            Error(
                "REDACT_AFTER_DAYS must be 0, or no shorter than IDEMPOTENCY_KEY_TTL: the answer that a key keeps "
                "names the recipient.",
                id="notifier.E007",
            )
        )
    if redact_after >= timedelta(days=settings.RETENTION_DAYS):
        found.append(
            Error(
                "REDACT_AFTER_DAYS must be 0, or less than RETENTION_DAYS: what is deleted has nothing left to redact.",
                id="notifier.E008",
            )
        )
    return found


@register("notifier")
def metrics_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    trouble: str = getattr(settings, "METRICS_TROUBLE", "")
    if not trouble:
        return []
    return [
        checks.Warning(
            f"METRICS_DIR: {trouble} /metrics then shows the counts of one process alone.",
            hint="Name a folder that belongs to the user that web and worker run as.",
            id="notifier.W003",
        )
    ]


@register("notifier")
def broker_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if not (getattr(settings, "LISTEN_DATABASE", None) and settings.BROKER_URL):
        return []
    return [
        checks.Warning(
            "LISTEN_DATABASE_URL is set and nobody listens: BROKER_URL names who wakes the workers.",
            hint="Set one of them.",
            id="notifier.W004",
        )
    ]


def _channels_with_threads() -> int:
    try:
        return sum(not known.unused for known in channels().values())
    except ImproperlyConfigured:
        return 0  # said of the channel


@register(Tags.security, deploy=True)
def deployed_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.PUBLIC_URL.startswith("https://"):
        return [
            checks.Warning(
                "PUBLIC_URL does not begin with https://: cookies and keys would cross the network in the clear.",
                id="notifier.W002",
            )
        ]
    return []
