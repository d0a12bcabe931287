"""To whom nothing is sent."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Concat

from channels.registry import MARK
from notifications.states import Reason


class Suppression(models.Model):
    """A recipient to whom nothing is sent over a channel; what a sandbox refuses suppresses nobody but for tests.

    Kept until somebody takes it from the list, whatever is purged.
    """

    channel = models.TextField()
    recipient = models.TextField()  # in its channel's normal form
    test = models.BooleanField(default=False)
    # The three in one, as `outbox/suppress.py` writes it: what is looked for, one or hundreds at a time.
    address = models.GeneratedField(
        expression=Concat(
            Case(When(test=True, then=Value(MARK)), default=Value(""), output_field=models.TextField()),
            "channel",
            Value(":", models.TextField()),
            "recipient",
        ),
        output_field=models.TextField(db_collation="C"),
        db_persist=True,
    )
    reason = models.TextField(choices=[(r.value, r.value) for r in Reason], default=Reason.MANUAL.value)
    detail = models.TextField(blank=True)
    source = models.TextField(blank=True)  # the provider's code, where its refusal caused it
    notification_id = models.UUIDField(null=True, editable=False)  # the one that was refused; it may be purged since
    created_by = models.TextField(editable=False)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        db_table = "suppression"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["address"], name="suppression_once"),
            models.CheckConstraint(name="suppression_reason", condition=Q(reason__in=[r.value for r in Reason])),
        ]

    def __str__(self) -> str:
        return str(self.pk)
