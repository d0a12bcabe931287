"""Where clients are told."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from notifications.models.clients import Client
from notifications.states import WEBHOOK_EVENTS


def every_event() -> list[str]:
    return [event.value for event in WEBHOOK_EVENTS]


class WebhookEndpoint(models.Model):
    """Where a client wants to be told what becomes of its notifications; `outbox/tell.py` looks here."""

    id = models.UUIDField(primary_key=True, editable=False)
    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="webhooks", db_index=False)
    url = models.TextField()
    events = ArrayField(models.TextField(choices=[(e.value, e.value) for e in WEBHOOK_EVENTS]), default=every_event)
    description = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)
    disabled_reason = models.TextField(blank=True)  # where it was not the client that switched it off
    secret = models.TextField(editable=False)
    previous_secret = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)  # it signs as well until then
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "webhook_endpoint"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["client", "url"], name="webhook_endpoint_once")]

    def __str__(self) -> str:
        return str(self.id)
