"""The hot table, and what belongs to its rows from the beginning."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from channels.registry import is_test
from notifications.models.clients import Client
from notifications.states import FINISHED, Priority, Status

MAX_LOSSES = 5  # sends whose worker died, after which a person should look: the message itself may be the killer


class Notification(models.Model):
    """One message to one recipient over one channel, and where it stands."""

    id = models.UUIDField(primary_key=True, editable=False)  # version 7: in the order of time
    # No constraint and no index: both would cost every insert, and clients are never deleted while they have any.
    client = models.ForeignKey(Client, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    channel = models.TextField()
    lane = models.TextField()
    recipient = models.TextField()
    subject = models.TextField(blank=True)
    body = models.TextField()
    metadata = models.JSONField(default=dict)
    content = models.JSONField(null=True)  # what there is beyond the text, as notifications/content.py has it
    # `order-shipped@3`; most have none, and old rows know nothing of it.
    template = models.TextField(null=True)  # noqa: DJ001
    # Of the request, where traces are kept; most have none, and an older server's inserts know nothing of it.
    traceparent = models.TextField(null=True)  # noqa: DJ001
    priority = models.SmallIntegerField(choices=[(p.value, p.name.lower()) for p in Priority], default=Priority.NORMAL)
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    status = models.TextField(choices=[(s.value, s.value) for s in Status], default=Status.PENDING)
    attempt = models.IntegerField(default=0)  # the number of the latest claim, and the fencing token
    tries = models.SmallIntegerField(default=0)  # budget: raised by transient, in doubt and unexpected outcomes
    losses = models.SmallIntegerField(default=0)  # budget: sends whose worker died
    possible_duplicate = models.BooleanField(default=False)  # an earlier attempt may have reached the provider
    worker_id = models.UUIDField(null=True)
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)  # null while sending: certainly not sent yet
    provider_id = models.TextField(blank=True)
    error_code = models.TextField(blank=True)
    correlation_id = models.TextField(blank=True)
    idempotency_key = models.TextField(blank=True)  # to be shown; uniqueness lives in idempotency_record
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    # An earlier send may have been taken; until then the provider knows the key, by which another is none. No mark yet.
    deduplicated_until = models.DateTimeField(null=True)

    redacted_at = models.DateTimeField(null=True)  # since then nobody can read to whom it went, and what it said

    class Meta:
        db_table = "notification"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lane", "priority", "client", "due_at", "id"],
                condition=Q(status="pending"),
                name="notification_ready",
            ),
            models.Index(fields=["worker_id"], condition=Q(status="sending"), name="notification_claimed"),
            models.Index(
                fields=["channel", "id"],
                condition=Q(status__in=["failed", "unknown"]),
                name="notification_attention",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status="pending", expires_at__isnull=False),
                name="notification_expiring",
            ),
        ]
        constraints = [
            models.CheckConstraint(name="notification_status", condition=Q(status__in=[s.value for s in Status])),
            models.CheckConstraint(name="notification_priority", condition=Q(priority__in=[p.value for p in Priority])),
            models.CheckConstraint(
                name="notification_claim",
                condition=Q(status="sending", worker_id__isnull=False, claimed_at__isnull=False, attempt__gte=1)
                | (~Q(status="sending") & Q(worker_id__isnull=True, claimed_at__isnull=True, started_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="notification_finished",
                condition=Q(status__in=[s.value for s in sorted(FINISHED)], finished_at__isnull=False)
                | (~Q(status__in=[s.value for s in sorted(FINISHED)]) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="notification_budgets",
                condition=Q(attempt__gte=0, tries__gte=0, losses__gte=0, losses__lte=MAX_LOSSES),
            ),
            models.CheckConstraint(
                name="notification_tried",
                condition=~Q(status__in=["sent", "unknown"]) | Q(attempt__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_test(self) -> bool:
        """Whether a test key asked for it: it never leaves the sandbox."""
        return is_test(self.lane)


class Listing(models.Model):
    """A notification in its client's lists; inserted with it, never updated. Whose, and the hashes: listing.py."""

    pk = models.CompositePrimaryKey("client_id", "id")
    client_id = models.BigIntegerField()
    id = models.UUIDField()
    recipient = models.BigIntegerField()
    correlation = models.BigIntegerField()

    class Meta:
        db_table = "listing"
        indexes = [
            models.Index(fields=["recipient", "id"], name="listing_recipient"),
            models.Index(fields=["correlation", "id"], name="listing_correlation"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Label(models.Model):
    """One entry of a notification's metadata, to be found by; inserted with it, never updated."""

    pk = models.CompositePrimaryKey("term", "id")
    term = models.BigIntegerField()  # a hash of client, key and value
    id = models.UUIDField()

    class Meta:
        db_table = "label"

    def __str__(self) -> str:
        return str(self.id)


class IdempotencyRecord(models.Model):
    """The answer that a key was given, kept as bytes; inserted with its notifications, never updated."""

    pk = models.CompositePrimaryKey("client_id", "operation", "key")
    client_id = models.BigIntegerField()
    operation = models.TextField()  # "POST /api/v1/slack", or "accept" in-process
    key = models.TextField()
    fingerprint = models.BinaryField()  # SHA-256 of the canonical request
    status = models.SmallIntegerField()  # HTTP status
    location = models.TextField()
    body = models.BinaryField()
    notification_ids = ArrayField(models.UUIDField())
    created_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_record"

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"
