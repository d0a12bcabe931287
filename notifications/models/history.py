"""What came to be of notifications, line by line; appended to, and deleted with them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from notifications.models.notification import Notification
from notifications.states import Outcome


class Attempt(models.Model):
    """One claim of a notification and what came of it; written when it ends, never changed but for `late_outcome`."""

    pk = models.CompositePrimaryKey("notification_id", "number")
    notification = models.ForeignKey(
        Notification,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="attempts",
    )
    number = models.IntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    outcome = models.TextField(choices=[(o.value, o.value) for o in Outcome])
    late_outcome = models.TextField(blank=True, choices=[(o.value, o.value) for o in Outcome])
    code = models.TextField(blank=True)
    detail = models.TextField(blank=True)
    provider_id = models.TextField(blank=True)
    backend = models.TextField(blank=True)
    worker_id = models.UUIDField()
    possible_duplicate = models.BooleanField(default=False)
    deduplicated_until = models.DateTimeField(null=True)  # of one in doubt: until when its backend may send again

    class Meta:
        db_table = "attempt"
        constraints = [
            models.CheckConstraint(name="attempt_outcome", condition=Q(outcome__in=[o.value for o in Outcome])),
            models.CheckConstraint(name="attempt_number", condition=Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.notification_id} #{self.number}"


class Receipt(models.Model):
    """A provider's later word on delivery, stored before it is applied."""

    notification = models.ForeignKey(Notification, on_delete=models.DO_NOTHING, db_constraint=False, db_index=True)
    attempt = models.IntegerField()
    provider_id = models.TextField()
    rank = models.SmallIntegerField()  # monotonic: a lower one that comes later changes nothing
    code = models.TextField(blank=True)
    received_at = models.DateTimeField()

    class Meta:
        db_table = "receipt"
        verbose_name = "receipt"

    def __str__(self) -> str:
        return f"{self.notification_id} #{self.attempt} {self.code}"


class Event(models.Model):
    """What operators and the relay did to a notification, and who; not for the hot path."""

    notification = models.ForeignKey(
        Notification, on_delete=models.DO_NOTHING, db_constraint=False, db_index=True, related_name="events"
    )
    at = models.DateTimeField()
    kind = models.TextField()
    actor = models.TextField()
    detail = models.TextField(blank=True)

    class Meta:
        db_table = "event"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} by {self.actor}"


class Purge(models.Model):
    """The ledger of what was deleted for good: one row for each batch, written in the deleting transaction."""

    at = models.DateTimeField()
    notifications = models.IntegerField()
    attempts = models.IntegerField()
    records = models.IntegerField()
    first_id = models.UUIDField(null=True)
    last_id = models.UUIDField(null=True)

    class Meta:
        db_table = "purge_ledger"

    def __str__(self) -> str:
        return f"{self.notifications} at {self.at}"
