"""Where clients are told. Operators see where that is and can stop it; the secrets are the clients' own."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from notifications import services
from notifications.admin.base import Watched, audited, label, moment, named, note
from notifications.models import Client, WebhookEndpoint

MASKED: Final = "whsec_•••"


def address(url: str) -> str:
    """Without its query, which is where receivers that know no signatures have their password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}{'?•••' if parts.query else ''}"


def listed(client: Client) -> SafeString:
    """A client's webhooks, on its own page."""
    rows = [
        (
            reverse("admin:notifications_webhookendpoint_change", args=[webhook.pk]),
            address(webhook.url),
            ", ".join(webhook.events),
            MASKED,
            _state(webhook),
        )
        for webhook in client.webhooks.all()
    ]
    return format_html_join(mark_safe("<br>"), '<a href="{}">{}</a> · {} · {} {}', rows) or mark_safe("-")


def _state(webhook: WebhookEndpoint) -> SafeString:
    return label("active") if webhook.is_active else label("inactive", "revoked")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(Watched[WebhookEndpoint]):
    list_display = ["__str__", "client", "address", "told_of", "state", "created"]
    list_filter = ["is_active", ("client", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["client"]
    search_fields = ["url", "description", "client__name"]
    ordering = ["-id"]
    actions = ["deactivate"]
    fields = readonly_fields = (
        *("client", "address", "description", "told_of", "masked_secret", "state", "disabled_reason", "created"),
    )

    created = moment("created_at")

    @admin.display(description="address")
    def address(self, webhook: WebhookEndpoint) -> str:
        return address(webhook.url)

    @admin.display(description="told of")
    def told_of(self, webhook: WebhookEndpoint) -> str:
        return ", ".join(webhook.events)

    @admin.display(description="secret")
    def masked_secret(self, webhook: WebhookEndpoint) -> str:
        return MASKED

    @admin.display(description="state")
    def state(self, webhook: WebhookEndpoint) -> SafeString:
        return _state(webhook)

    @admin.action(
        description="Deactivate: nothing more is told there until its client switches it on", permissions=["act"]
    )
    def deactivate(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> None:
        with transaction.atomic():
            active = list(rows.filter(is_active=True).select_related("client").select_for_update(of=("self",)))
            services.switch_off_webhooks([webhook.pk for webhook in active], "an operator switched it off")
            note(request, active, "Deactivated.")
            if active:
                subject = named([f"{address(each.url)} of {each.client.name}" for each in active], "webhooks")
                audited(request, services.Noted.STOP_WEBHOOK, subject, touched=len(active))
        self.message_user(request, f"{len(active)} webhooks were deactivated.", messages.SUCCESS)
