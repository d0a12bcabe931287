from __future__ import annotations

from django.db import models


class ApiKey(models.Model):
    """A client; the key itself is not stored."""

    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the key, in hexadecimal
    active = models.BooleanField(default=True)

    is_authenticated = True  # it stands for the request's user

    def __str__(self) -> str:
        return self.name


class Notification(models.Model):
    channel = models.CharField(max_length=20)
    to = models.CharField(max_length=320)
    message = models.TextField()
    status = models.CharField(max_length=20, default="pending")
    client = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.channel} to {self.to}"


class IdempotencyKey(models.Model):
    """A key that was used, and what was answered."""

    client = models.ForeignKey(ApiKey, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of the request's body, in hexadecimal
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["client", "key"], name="one_use_of_a_key"),)

    def __str__(self) -> str:
        return self.key
