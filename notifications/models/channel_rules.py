"""What the database knows of the settings."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class ChannelRules(models.Model):
    """What a channel asks of a request, for `notifications_accept`: the database knows no settings.

    Written by `outbox/channel_rules.py`; the fields are those of `channels.rules.Rules`.
    """

    channel = models.TextField(primary_key=True)
    place = models.SmallIntegerField()  # in the order of the settings
    configured = models.BooleanField()
    from_sql = models.BooleanField()  # whether its backend has rules that a database can keep; all below are of them
    subject = models.TextField()
    subject_limit = models.IntegerField()
    message_limit = models.IntegerField()
    message_bytes = models.IntegerField()
    recipient = models.TextField()
    names = ArrayField(models.TextField())
    pattern = models.TextField()
    code = models.TextField()
    detail = models.TextField()
    lane_for_each = models.BooleanField()

    class Meta:
        db_table = "channel_rules"
        verbose_name_plural = "channel rules"

    def __str__(self) -> str:
        return self.channel
