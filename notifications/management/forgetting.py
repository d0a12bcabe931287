"""`manage.py purge_notifications --recipient`: somebody asks to be forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core.management.base import CommandError

from notifications import services
from notifications.management.operators import WRONG_USE, OperatorsCommand
from notifications.models import Operation
from notifications.outbox.redact import Found
from notifications.states import FINISHED

NOT_CONFIRMED: Final = 1
LEFT: Final = 4  # something that names the recipient could not be redacted yet: the command is to be repeated
NAMED: Final = 20  # ids of those


def forget(
    command: OperatorsCommand, recipient: str, channel: str | None, *, by: str, ask: bool, dry_run: bool
) -> None:
    """Say what went to them, and redact it. Raises: CommandError, with an exit status of those above."""
    if not recipient.strip():
        raise CommandError("--recipient needs an address or a number.", returncode=WRONG_USE)
    try:
        found = services.messages_to(recipient, channel)
    except services.Refused as refused:
        raise CommandError(f"--channel {refused.problems[0].detail}.", returncode=WRONG_USE) from None
    redactable = [each for each in found if each.redactable]
    _tell(command, found, len(redactable), dry_run=dry_run)
    done = set()
    if redactable and not dry_run:
        question = f"Redact {len(redactable):,} notifications? They cannot be read or resent any more."
        if ask and not command.confirmed(question):
            raise CommandError("Nothing was redacted.", returncode=NOT_CONFIRMED)
        for batch in services.forget(recipient, redactable, channel=channel, actor=by, via=Operation.Via.COMMAND):
            done |= batch
        command.stdout.write(f"Redacted {len(done):,}.")
    if done:
        _tell_what_stays(command)
    unfinished = [each for each in found if each.status not in FINISHED]
    held = [] if dry_run else [each for each in redactable if each.id not in done]
    if held or unfinished:
        raise CommandError(" ".join(_left(unfinished, held)), returncode=LEFT)


def _tell(command: OperatorsCommand, found: Sequence[Found], redactable: int, *, dry_run: bool) -> None:
    if not found:
        command.stdout.write("Nothing that is kept went to this recipient.")
        return
    counts = Counter((each.channel, each.status.value) for each in found)
    command.table(("channel", "status", "notifications"), [(*group, count) for group, count in sorted(counts.items())])
    if dry_run:
        command.stdout.write(f"Dry run: nothing was changed. {redactable:,} would be redacted.")


def _tell_what_stays(command: OperatorsCommand) -> None:
    hours = settings.IDEMPOTENCY_KEY_TTL / timedelta(hours=1)
    command.stdout.write(
        f"The answer that a key keeps names the recipient until the key's {hours:g} hours are over; so does the "
        "suppression list, where it stands there, so that nothing is sent to it."
    )


def _left(unfinished: Sequence[Found], held: Sequence[Found]) -> list[str]:
    """What names the recipient still, and what to do about it."""
    told = []
    if unfinished:
        names = ", ".join(str(each.id) for each in unfinished[:NAMED])
        more = f" and {len(unfinished) - NAMED:,} more" if len(unfinished) > NAMED else ""
        told.append(
            f"{len(unfinished):,} are not finished and were left: {names}{more}. Cancel them, or repeat this "
            "afterwards."
        )
    if held:
        told.append(f"{len(held):,} were left, as a webhook is still to be told of them: repeat this in an hour.")
    return told
