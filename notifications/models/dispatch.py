"""Who sends, and which lanes may be sent to."""

from __future__ import annotations

import uuid

from django.db import models


class Worker(models.Model):
    """The lease of one worker process, judged by its beat alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    beat = models.BigIntegerField(default=0)
    host = models.TextField()
    pid = models.IntegerField()
    started_at = models.DateTimeField()

    class Meta:
        db_table = "worker"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class LaneState(models.Model):
    """What all workers share of a lane; no row means: open, without failures, and with all its tokens.

    An operator's pause may be of a whole channel: a row that has the channel's name counts for each of its lanes.
    """

    lane = models.TextField(primary_key=True)
    # By what a provider answered. Where there is a reason and the pause is over, it is half-open.
    paused_until = models.DateTimeField()
    reason = models.TextField(blank=True)  # "" where no answer closed it
    failures = models.IntegerField(default=0)  # in a row, since the last success
    probe_until = models.DateTimeField(null=True)  # nobody else probes before, if the worker lives
    probe_by = models.UUIDField(null=True)
    # By an operator, whatever the provider answers.
    stopped_until = models.DateTimeField(null=True)
    stopped_by = models.TextField(blank=True, db_default="")
    stopped_reason = models.TextField(blank=True, db_default="")
    # Of a lane that is paced: when its next token is there. A second's worth of them may lie in the past.
    next_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "lane_state"

    def __str__(self) -> str:
        return self.lane
