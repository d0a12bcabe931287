"""The tables. Rows of `notification` and `attempt` are written by `outbox/` alone; these classes describe and read."""

from notifications.models.attachments import Attachment, AttachmentLink
from notifications.models.channel_rules import ChannelRules
from notifications.models.chores import Chore
from notifications.models.clients import ApiKey, Client, ClientQuota, every_scope
from notifications.models.dispatch import LaneState, Worker
from notifications.models.history import Attempt, Event, Purge, Receipt
from notifications.models.notification import MAX_LOSSES, IdempotencyRecord, Label, Listing, Notification
from notifications.models.operations import Operation, Tally
from notifications.models.redaction import Redaction, Straggler
from notifications.models.suppression import Suppression
from notifications.models.templates import Template, TemplateVersion
from notifications.models.webhooks import WebhookEndpoint, every_event

__all__ = [
    "MAX_LOSSES",
    "ApiKey",
    "Attachment",
    "AttachmentLink",
    "Attempt",
    "ChannelRules",
    "Chore",
    "Client",
    "ClientQuota",
    "Event",
    "IdempotencyRecord",
    "Label",
    "LaneState",
    "Listing",
    "Notification",
    "Operation",
    "Purge",
    "Receipt",
    "Redaction",
    "Straggler",
    "Suppression",
    "Tally",
    "Template",
    "TemplateVersion",
    "WebhookEndpoint",
    "Worker",
    "every_event",
    "every_scope",
]
