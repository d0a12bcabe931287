"""What the channels ask of a request, written down for `notifications_accept`: the database knows no settings."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from channels.registry import Channel, channel, open_channels
from channels.rules import Recipient, Rules, Subject
from notifications.models import ChannelRules

_NONE: Final = Rules(
    subject=Subject.NONE, message_limit=0, recipient=Recipient.PATTERN, refusal=("channel_not_in_sql", "")
)
_WRITTEN: Final = (
    *("place", "configured", "from_sql", "subject", "subject_limit", "message_limit", "message_bytes"),
    *("recipient", "names", "pattern", "code", "detail", "lane_for_each"),
)


def publish(*, whole: bool = False) -> None:
    """Write down the channels of this process's settings; safe to repeat.

    A channel without a provider here may have one elsewhere (workers for one channel each may know but their own), so
    it takes nothing away. `whole`: these settings are all there is: what they do not know goes, and what they do not
    configure is refused. Raises: django.db's errors.
    """
    rows = {name: _row(place, channel(name)) for place, name in enumerate(open_channels())}
    found = {row.channel: _values(row) for row in ChannelRules.objects.all()}
    # In one order, so that workers that start at once wait for each other and never in a circle.
    news = [row for name, row in sorted(rows.items()) if _values(row) != found.get(name)]
    with transaction.atomic():
        ours = [row for row in news if row.configured or whole]
        ChannelRules.objects.bulk_create(ours, update_conflicts=True, unique_fields=["channel"], update_fields=_WRITTEN)
        ChannelRules.objects.bulk_create([row for row in news if row not in ours], ignore_conflicts=True)
        if whole:
            ChannelRules.objects.exclude(channel__in=rows).delete()


def _row(place: int, known: Channel) -> ChannelRules:
    told = known.backend.rules()
    rules = told or _NONE
    code, detail = rules.refusal
    return ChannelRules(
        channel=known.name,
        place=place,
        configured=known.backend.configured,
        from_sql=told is not None,
        subject=rules.subject.value,
        subject_limit=rules.subject_limit,
        message_limit=rules.message_limit,
        message_bytes=rules.message_bytes,
        recipient=rules.recipient.value,
        names=list(rules.names),
        pattern=f"^(?:{rules.pattern})$" if rules.pattern else "",
        code=code,
        detail=detail,
        lane_for_each=rules.lane_for_each,
    )


def _values(row: ChannelRules) -> list[Any]:
    return [getattr(row, name) for name in _WRITTEN]
