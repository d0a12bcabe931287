"""Who may ask, by which keys, and how much."""

from __future__ import annotations

from datetime import UTC

from django.contrib.postgres.fields import ArrayField
from django.db import models

from notifications.credentials import Scope, beginning


class Client(models.Model):
    """A program that may post; it sees its own notifications and no others."""

    name = models.CharField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)
    rate_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Notifications a minute; other requests count as one. Empty for RATE_LIMIT, 0 for no limit.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "client"

    def __str__(self) -> str:
        return self.name


def every_scope() -> list[str]:
    return [scope.value for scope in Scope]


class ApiKey(models.Model):
    """One of a client's keys; its text is shown once, when it is made."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    scopes = ArrayField(models.TextField(choices=[(s.value, s.value) for s in Scope]), default=every_scope)
    is_test = models.BooleanField("test", default=False)  # what it asks for is delivered to the sandbox only
    prefix = models.CharField(max_length=16, db_index=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_key"
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{beginning(self.prefix, test=self.is_test)}_…"

    @property
    def grants(self) -> str:
        """What it is good for, in a line: `send, read until 2030-01-31 09:30 UTC`."""
        until = f" until {self.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.expires_at else ""
        return f"{', '.join(self.scopes)}{until}{' (test)' if self.is_test else ''}"


class ClientQuota(models.Model):
    """What a client has used of its minute, as far as the web processes have asked; written by `outbox/quotas.py`."""

    client = models.OneToOneField(Client, on_delete=models.CASCADE, primary_key=True)
    minute = models.DateTimeField()
    used = models.IntegerField()

    class Meta:
        db_table = "client_quota"

    def __str__(self) -> str:
        return f"{self.client_id}: {self.used} at {self.minute:%H:%M}"
