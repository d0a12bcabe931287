"""How far notifications have been redacted; kept by `outbox/redact.py`."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Redaction(models.Model):
    """The place of the walk, one row: what was accepted up to there is redacted, or a straggler."""

    one = models.BooleanField(primary_key=True, default=True)
    through = models.UUIDField()

    class Meta:
        db_table = "redaction"
        constraints = [models.CheckConstraint(name="redaction_one", condition=Q(one=True))]

    def __str__(self) -> str:
        return str(self.through)


class Straggler(models.Model):
    """A notification that the walk has left behind: it was open, or had not been finished for long enough."""

    id = models.UUIDField(primary_key=True, editable=False)

    class Meta:
        db_table = "straggler"

    def __str__(self) -> str:
        return str(self.id)
