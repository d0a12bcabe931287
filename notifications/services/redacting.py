"""Somebody asks to be forgotten: what went to them is redacted now, whoever sent it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from uuid import UUID

import structlog

from channels import masks
from channels.registry import open_channels
from notifications import intake
from notifications.intake import Problem, Refused
from notifications.models import Operation
from notifications.outbox import redact
from notifications.outbox.redact import Found
from notifications.services.operations import Noted, note

log = structlog.get_logger(__name__)


def messages_to(recipient: str, channel: str | None = None) -> list[Found]:
    """All that went or is to go to a recipient, over all clients, oldest first; also what test keys asked for.

    It is looked for as it is written, and in the normal form of each channel. Raises: Refused, of an unknown channel.
    """
    if channel is not None and channel not in open_channels():
        raise Refused(Problem("channel", "unknown_channel", f"must be one of {', '.join(open_channels())}"))
    among = open_channels() if channel is None else [channel]
    return redact.of_recipient(_written(recipient, among), None if channel is None else [channel])


def forget(
    recipient: str, found: Collection[Found], *, channel: str | None, actor: str, via: Operation.Via
) -> Iterator[set[UUID]]:
    """Redact those of `found` that can be, a batch at a time, each committed when it is yielded; which that were.

    What is open, or of which a webhook is being told, is left alone. The act is kept when it ends, however it ends,
    with the recipient masked.
    """
    ids = [each.id for each in found if each.redactable]
    forgotten = 0
    try:
        for begin in range(0, len(ids), redact.BATCH):
            batch = redact.forget(ids[begin : begin + redact.BATCH])
            forgotten += len(batch)
            yield batch
    finally:
        masked = masks.recipient(recipient)
        subject = masked if channel is None else f"{channel} {masked}"
        note(Noted.REDACT, actor=actor, via=via, subject=subject, touched=forgotten)
        log.warning("recipient.forgotten", recipient=masked, channel=channel, count=forgotten, actor=actor)


def _written(recipient: str, among: Collection[str]) -> set[str]:
    forms = {recipient}
    for channel in among:
        try:
            forms.add(intake.normal_recipient(channel, recipient))
        except Refused:
            continue  # no recipient of that channel's: there it can only have been written as it is
    return forms
