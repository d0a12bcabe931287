"""What can be asked of the outbox: the same for the REST face, the admin, commands and other apps of the database.

In-process callers use `accept` inside their own `transaction.atomic()`: their rows and the notification commit together
or vanish together. READ COMMITTED (Django's default) is required; callers that accept under several keys in one
transaction do so in sorted order, or two of them can wait for each other.
"""

from notifications.idempotency import InvalidKey
from notifications.intake import NoSandbox, NotificationRequest, Problem, Refused
from notifications.outbox.accept import Answer, Use
from notifications.services.accepting import (
    MOST_IN_BATCH,
    MOST_PROBLEMS,
    NOTIFICATIONS_PATH,
    accept,
    accept_batch,
    replay_answer,
)
from notifications.services.changing import MOST_RESENT, cancel_own, reschedule_own, resend_matching, resend_own
from notifications.services.errors import KeyInUse, KeyReused, Unavailable, WebhookConflict, WrongState
from notifications.services.lanes import check_pause, pause_lane, resume_lane
from notifications.services.operating import cancel, create_api_key, receive_report, release, reschedule, resend
from notifications.services.operations import Noted, ask, go_on_with, note, resume_operation, stop_operation
from notifications.services.redacting import forget, messages_to
from notifications.services.storing import Accepted
from notifications.services.suppressing import suppress, unsuppress, unsuppress_all
from notifications.services.templates import (
    add_template_version,
    normal_bodies,
    preview_template,
    use_template_version,
)
from notifications.services.webhooks import (
    change_webhook,
    create_webhook,
    delete_webhook,
    rotate_webhook,
    switch_off_webhooks,
)

__all__ = [
    "MOST_IN_BATCH",
    "MOST_PROBLEMS",
    "MOST_RESENT",
    "NOTIFICATIONS_PATH",
    "Accepted",
    "Answer",
    "InvalidKey",
    "KeyInUse",
    "KeyReused",
    "NoSandbox",
    "Noted",
    "NotificationRequest",
    "Problem",
    "Refused",
    "Unavailable",
    "Use",
    "WebhookConflict",
    "WrongState",
    "accept",
    "accept_batch",
    "add_template_version",
    "ask",
    "cancel",
    "cancel_own",
    "change_webhook",
    "check_pause",
    "create_api_key",
    "create_webhook",
    "delete_webhook",
    "forget",
    "go_on_with",
    "messages_to",
    "normal_bodies",
    "note",
    "pause_lane",
    "preview_template",
    "receive_report",
    "release",
    "replay_answer",
    "reschedule",
    "reschedule_own",
    "resend",
    "resend_matching",
    "resend_own",
    "resume_lane",
    "resume_operation",
    "rotate_webhook",
    "stop_operation",
    "suppress",
    "switch_off_webhooks",
    "unsuppress",
    "unsuppress_all",
    "use_template_version",
]
