"""What is read: every query of the API that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import F, Prefetch, prefetch_related_objects

from channels.registry import channels
from notifications.models import (
    Attachment,
    Attempt,
    Client,
    Notification,
    Template,
    TemplateVersion,
    WebhookEndpoint,
    Worker,
)
from notifications.modes import in_mode, owner
from notifications.outbox import api_keys, listing, workers
from notifications.outbox.listing import Wanted as Wanted
from notifications.outbox.statement import run


@dataclass(frozen=True, slots=True)
class Key:
    """An API key that opens."""

    client: Client  # active or not
    scopes: frozenset[str]  # of Scope
    is_test: bool  # what it asks for, sees and changes stays in the sandbox
    expires_in: float | None  # seconds; None: never


def key(digest: bytes) -> Key | None:
    """A good key; None where it is unknown, revoked or expired."""
    found = api_keys.client_of_key(digest)
    if found is None:
        return None
    id_, name, is_active, rate_limit, scopes, is_test, expires_in = found
    client = Client(id=id_, name=name, is_active=is_active, rate_limit=rate_limit)
    return Key(client, frozenset(scopes), is_test, expires_in)


def page(
    client: Client, wanted: Wanted, *, before: UUID | None, limit: int, test: bool = False
) -> tuple[list[Notification], UUID | None]:
    """A client's notifications, live ones or tests, newest first, and where the next page begins (None at the end).

    What its webhooks are told is left out, unless that channel is asked for. `before` is the id that the previous page
    ended with; ids are in the order of time, so a page never shifts while new notifications come in. What is rare among
    many is spread over several pages, which may come with less than `limit`.
    """
    ids, following = page_of_ids(client, wanted, before=before, limit=limit, test=test)
    found = Notification.objects.filter(id__in=ids).defer("body", "content").order_by("-id")
    return list(found) if ids else [], following


def page_of_ids(
    client: Client, wanted: Wanted, *, before: UUID | None, limit: int, test: bool = False
) -> tuple[list[UUID], UUID | None]:
    """The same, but for the notifications themselves."""
    return listing.page(owner(client.pk, test=test), wanted, before=before, limit=limit, channels=channels())


def notification(client: Client, notification_id: UUID, *, test: bool = False) -> Notification:
    """One of the client's own.

    Raises: Notification.DoesNotExist, also where it is another client's, or of the other mode.
    """
    return Notification.objects.get(in_mode(test=test), id=notification_id, client=client)


def with_attempts(notification: Notification) -> Notification:
    """The same, its attempts read, in order."""
    prefetch_related_objects([notification], Prefetch("attempts", queryset=Attempt.objects.order_by("number")))
    return notification


def attachment(digest: str) -> bytes | None:
    """The bytes of a file, by its digest in hexadecimal; None where there is none."""
    found = Attachment.objects.filter(digest=bytes.fromhex(digest)).values_list("content", flat=True).first()
    return None if found is None else bytes(found)


def webhook(client: Client, endpoint_id: UUID) -> WebhookEndpoint:
    """One of the client's own. Raises: WebhookEndpoint.DoesNotExist, also where it is another client's."""
    return WebhookEndpoint.objects.get(id=endpoint_id, client=client)


def webhooks(client: Client) -> list[WebhookEndpoint]:
    """All of the client's, in the order in which they were made."""
    return list(WebhookEndpoint.objects.filter(client=client).order_by("id"))


def template_version(name: str, number: int | None = None) -> TemplateVersion:
    """The version of an active template, the current one where none is named. Raises: TemplateVersion.DoesNotExist."""
    chosen = F("template__current") if number is None else number
    versions = TemplateVersion.objects.select_related("template")
    return versions.get(template__name=name, template__is_active=True, number=chosen)


def template_exists(name: str) -> bool:
    """Whether there is an active template of this name."""
    return Template.objects.filter(name=name, is_active=True).exists()


def database_answers() -> None:
    """Raises: django.db.OperationalError or InterfaceError where it does not."""
    run("SELECT 1", {})


def unapplied_migrations() -> list[str]:
    """Names such as `notifications.0001_initial`, in the order in which they would be applied."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def worker_beats(*, host: str | None = None) -> dict[UUID, int]:
    """The beat of every registered worker, or of those on one host; what stands still is dead, not yet buried."""
    registered = Worker.objects.all() if host is None else Worker.objects.filter(host=host)
    return dict(registered.values_list("id", "beat"))


def oldest_due() -> tuple[str, float] | None:
    """The open lane that has waited for longest, and for how many seconds; None where nothing is due in any."""
    return workers.oldest()
