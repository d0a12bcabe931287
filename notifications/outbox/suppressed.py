"""Whether nothing is sent to a notification's recipient, for the ORM."""

from __future__ import annotations

from typing import Final

from django.db.models import BooleanField, Case, Exists, Func, OuterRef, TextField, Value, When
from django.db.models.functions import Concat

from channels.registry import MARK
from notifications.models import Notification, Suppression
from notifications.outbox.suppress import address

_MARK_OF_LANE: Final = Case(
    When(Func(OuterRef("lane"), Value(MARK), function="starts_with", output_field=BooleanField()), then=Value(MARK)),
    default=Value(""),
)
# Whether a notification's recipient is on the list, for the ORM. Index: suppression_once.
SUPPRESSED: Final = Exists(
    Suppression.objects.filter(
        address=Concat(_MARK_OF_LANE, OuterRef("channel"), Value(":"), OuterRef("recipient"), output_field=TextField())
    )
)


def is_suppressed(notification: Notification) -> bool:
    """Whether nothing is sent to its recipient, now."""
    wanted = address(notification.channel, notification.recipient, test=notification.is_test)
    return Suppression.objects.filter(address=wanted).exists()
