"""What the relays do on time, without anybody asking."""

from __future__ import annotations

from django.db import models
from django.db.models import Value
from django.db.models.functions import Now


class Chore(models.Model):
    """One of them: who has it in hands, and what came of it when it was last done. See notifications/chores.py."""

    name = models.TextField(primary_key=True)
    taken_by = models.UUIDField(null=True)  # a worker; without its lease it is anybody's
    taken_at = models.DateTimeField(null=True)
    # How many of what, since it was begun; whoever goes on with it adds to that.
    done = models.JSONField(default=dict, db_default=Value({}, output_field=models.JSONField()))
    # When it last ended. One that never has: when the first relay heard of it, an interval before it is first due.
    last_at = models.DateTimeField(db_default=Now())
    last_by = models.TextField(blank=True, db_default="")
    last_result = models.TextField(blank=True, db_default="")  # in words; "" where it never ended

    class Meta:
        db_table = "chore"

    def __str__(self) -> str:
        return self.name
