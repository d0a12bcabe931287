"""What operators do to many notifications at once, and how much of everything there was in which minute."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Operation(models.Model):
    """An act of an operator's: who did what to which, and how far it has come. The audit, and the place to go on from.

    Each notification that it touches has an `event` of its own; this row says it once for all of them.
    """

    class State(models.TextChoices):
        ASKED = "asked"  # a relay takes it on within a second
        RUNNING = "running"  # batch by batch, behind `after`
        DONE = "done"
        STOPPED = "stopped"  # by somebody, before its end; what is left can be resumed

    class Via(models.TextChoices):
        ADMIN = "admin"
        COMMAND = "command"

    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.TextField()
    via = models.TextField(choices=Via)
    act = models.TextField()  # resend, cancel, release; pause, resume, suppress, allow, purge …
    subject = models.TextField(blank=True)  # in words: "slack:ops", or which notifications
    selection = models.JSONField(null=True)  # of an act on notifications: as notifications/selection.py has it
    rate = models.FloatField(null=True)  # notifications a second at most
    state = models.TextField(choices=State, default=State.DONE)
    chosen = models.BigIntegerField(null=True)  # how many were counted before it was asked for
    touched = models.BigIntegerField(default=0)
    left_alone = models.BigIntegerField(default=0)  # had changed by the time their turn came
    after = models.UUIDField(null=True)  # the last notification that was looked at
    detail = models.TextField(blank=True)
    form = models.UUIDField(null=True, unique=True)  # by which it was asked for: one that is sent twice asks once
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "operation"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["asked", "running"]), name="operation_unfinished"),
        ]

    def __str__(self) -> str:
        return f"{self.act} by {self.actor}"


class Tally(models.Model):
    """How much there was of what in one minute; added to by every process, a few seconds late, and never the books."""

    pk = models.CompositePrimaryKey("minute", "channel", "kind", "code")
    minute = models.DateTimeField()
    channel = models.TextField()
    kind = models.TextField()  # accepted, replayed; an attempt's outcome; latency; waiting: see notifications/tally.py
    code = models.TextField()  # an error's; of a latency, the upper bound of its bucket in seconds
    count = models.BigIntegerField()

    class Meta:
        db_table = "tally"

    def __str__(self) -> str:
        return f"{self.channel} {self.kind} {self.code} {self.count}"
