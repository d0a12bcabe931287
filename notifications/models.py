"""The tables. Rows of `notification` and `attempt` are written by `outbox/` alone; these classes describe and read."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Concat

from channels.registry import MARK, is_test
from notifications.credentials import Scope, beginning
from notifications.states import FINISHED, WEBHOOK_EVENTS, Outcome, Priority, Reason, Status
from notifications.templating import NAME as TEMPLATE_NAME

MAX_LOSSES = 5  # sends whose worker died, after which a person should look: the message itself may be the killer


class Client(models.Model):
    """A program that may post; it sees its own notifications and no others."""

    name = models.CharField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)
    rate_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Notifications a minute; other requests count as one. Empty for RATE_LIMIT, 0 for no limit.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "client"

    def __str__(self) -> str:
        return self.name


def every_scope() -> list[str]:
    return [scope.value for scope in Scope]


class ApiKey(models.Model):
    """One of a client's keys; its text is shown once, when it is made."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    scopes = ArrayField(models.TextField(choices=[(s.value, s.value) for s in Scope]), default=every_scope)
    is_test = models.BooleanField("test", default=False)  # what it asks for is delivered to the sandbox only
    prefix = models.CharField(max_length=16, db_index=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_key"
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{beginning(self.prefix, test=self.is_test)}_…"


class ClientQuota(models.Model):
    """What a client has used of its minute, as far as the web processes have asked; written by `outbox/quotas.py`."""

    client = models.OneToOneField(Client, on_delete=models.CASCADE, primary_key=True)
    minute = models.DateTimeField()
    used = models.IntegerField()

    class Meta:
        db_table = "client_quota"

    def __str__(self) -> str:
        return f"{self.client_id}: {self.used} at {self.minute:%H:%M}"


def every_event() -> list[str]:
    return [event.value for event in WEBHOOK_EVENTS]


class WebhookEndpoint(models.Model):
    """Where a client wants to be told what becomes of its notifications; `outbox/tell.py` looks here."""

    id = models.UUIDField(primary_key=True, editable=False)
    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="webhooks", db_index=False)
    url = models.TextField()
    events = ArrayField(models.TextField(choices=[(e.value, e.value) for e in WEBHOOK_EVENTS]), default=every_event)
    description = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)
    disabled_reason = models.TextField(blank=True)  # where it was not the client that switched it off
    secret = models.TextField(editable=False)
    previous_secret = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)  # it signs as well until then
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "webhook_endpoint"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["client", "url"], name="webhook_endpoint_once")]

    def __str__(self) -> str:
        return str(self.id)


class Notification(models.Model):
    """One message to one recipient over one channel, and where it stands."""

    id = models.UUIDField(primary_key=True, editable=False)  # version 7: in the order of time
    # No constraint and no index: both would cost every insert, and clients are never deleted while they have any.
    client = models.ForeignKey(Client, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    channel = models.TextField()
    lane = models.TextField()
    recipient = models.TextField()
    subject = models.TextField(blank=True)
    body = models.TextField()
    metadata = models.JSONField(default=dict)
    content = models.JSONField(null=True)  # what there is beyond the text, as notifications/content.py has it
    # `order-shipped@3`; most have none, and old rows know nothing of it.
    template = models.TextField(null=True)  # noqa: DJ001
    priority = models.SmallIntegerField(choices=[(p.value, p.name.lower()) for p in Priority], default=Priority.NORMAL)
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    status = models.TextField(choices=[(s.value, s.value) for s in Status], default=Status.PENDING)
    attempt = models.IntegerField(default=0)  # the number of the latest claim, and the fencing token
    tries = models.SmallIntegerField(default=0)  # budget: raised by transient, in doubt and unexpected outcomes
    losses = models.SmallIntegerField(default=0)  # budget: sends whose worker died
    possible_duplicate = models.BooleanField(default=False)  # an earlier attempt may have reached the provider
    worker_id = models.UUIDField(null=True)
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)  # null while sending: certainly not sent yet
    provider_id = models.TextField(blank=True)
    error_code = models.TextField(blank=True)
    correlation_id = models.TextField(blank=True)
    idempotency_key = models.TextField(blank=True)  # to be shown; uniqueness lives in idempotency_record
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    # An earlier send may have been taken; until then the provider knows the key, by which another is none. No mark yet.
    deduplicated_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "notification"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lane", "priority", "client", "due_at", "id"],
                condition=Q(status="pending"),
                name="notification_ready",
            ),
            models.Index(fields=["worker_id"], condition=Q(status="sending"), name="notification_claimed"),
            models.Index(
                fields=["channel", "id"],
                condition=Q(status__in=["failed", "unknown"]),
                name="notification_attention",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status="pending", expires_at__isnull=False),
                name="notification_expiring",
            ),
        ]
        constraints = [
            models.CheckConstraint(name="notification_status", condition=Q(status__in=[s.value for s in Status])),
            models.CheckConstraint(name="notification_priority", condition=Q(priority__in=[p.value for p in Priority])),
            models.CheckConstraint(
                name="notification_claim",
                condition=Q(status="sending", worker_id__isnull=False, claimed_at__isnull=False, attempt__gte=1)
                | (~Q(status="sending") & Q(worker_id__isnull=True, claimed_at__isnull=True, started_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="notification_finished",
                condition=Q(status__in=[s.value for s in sorted(FINISHED)], finished_at__isnull=False)
                | (~Q(status__in=[s.value for s in sorted(FINISHED)]) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="notification_budgets",
                condition=Q(attempt__gte=0, tries__gte=0, losses__gte=0, losses__lte=MAX_LOSSES),
            ),
            models.CheckConstraint(
                name="notification_tried",
                condition=~Q(status__in=["sent", "unknown"]) | Q(attempt__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_test(self) -> bool:
        """Whether a test key asked for it: it never leaves the sandbox."""
        return is_test(self.lane)


class Template(models.Model):
    """A message that is written out with the variables of a request; what it says is in its versions."""

    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[RegexValidator(rf"\A{TEMPLATE_NAME}\Z", "Small letters, digits, dots, dashes and underscores.")],
        help_text="What requests call it, such as order-shipped. It stays as it is.",
    )
    description = models.TextField(blank=True)
    is_active = models.BooleanField(default=True, help_text="One that is not is unknown to requests.")
    current = models.PositiveIntegerField(
        default=0, editable=False
    )  # the version of requests that name none; 0: none yet
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "template"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """What a template says; inserted by `services.add_template_version`, never updated: it is cached for good."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()  # from 1
    bodies = models.JSONField()  # {channel: {"subject": …, "message": …, "html": …}}, without what is empty
    example = models.JSONField(default=dict)  # variables to preview it with
    note = models.TextField(blank=True)  # what is new
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.TextField()

    class Meta:
        db_table = "template_version"
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="template_version_once")]

    def __str__(self) -> str:
        return f"{self.template}@{self.number}"


class Listing(models.Model):
    """A notification in its client's lists; inserted with it, never updated. Whose, and the hashes: listing.py."""

    pk = models.CompositePrimaryKey("client_id", "id")
    client_id = models.BigIntegerField()
    id = models.UUIDField()
    recipient = models.BigIntegerField()
    correlation = models.BigIntegerField()

    class Meta:
        db_table = "listing"
        indexes = [
            models.Index(fields=["recipient", "id"], name="listing_recipient"),
            models.Index(fields=["correlation", "id"], name="listing_correlation"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Label(models.Model):
    """One entry of a notification's metadata, to be found by; inserted with it, never updated."""

    pk = models.CompositePrimaryKey("term", "id")
    term = models.BigIntegerField()  # a hash of client, key and value
    id = models.UUIDField()

    class Meta:
        db_table = "label"

    def __str__(self) -> str:
        return str(self.id)


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


class IdempotencyRecord(models.Model):
    """The answer that a key was given, kept as bytes; inserted with its notifications, never updated."""

    pk = models.CompositePrimaryKey("client_id", "operation", "key")
    client_id = models.BigIntegerField()
    operation = models.TextField()  # "POST /api/v1/slack", or "accept" in-process
    key = models.TextField()
    fingerprint = models.BinaryField()  # SHA-256 of the canonical request
    status = models.SmallIntegerField()  # HTTP status
    location = models.TextField()
    body = models.BinaryField()
    notification_ids = ArrayField(models.UUIDField())
    created_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_record"

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"


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
