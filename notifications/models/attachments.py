"""Files, stored once, and the notifications that they go along with."""

from __future__ import annotations

from django.db import models

from notifications.models.notification import Notification


class Attachment(models.Model):
    """A file, once for all notifications that it goes along with; written and read by `outbox/attachments.py`."""

    digest = models.BinaryField(primary_key=True, max_length=32, editable=False)  # SHA-256
    content = models.BinaryField()
    used_at = models.DateTimeField()  # when it was last asked for, to the hour

    class Meta:
        db_table = "attachment"

    def __str__(self) -> str:
        return bytes(self.digest).hex()


class AttachmentLink(models.Model):
    """That a notification has a file; inserted and deleted with the notification."""

    pk = models.CompositePrimaryKey("notification_id", "digest")
    notification = models.ForeignKey(Notification, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    digest = models.BinaryField(max_length=32, db_index=True)

    class Meta:
        db_table = "attachment_link"

    def __str__(self) -> str:
        return str(self.notification_id)
