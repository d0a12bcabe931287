"""What may be put right without a person: edges that some worker would have taken, had one been there to take them.

No outcome is guessed. Whatever else breaks a rule is evidence of a loss or of a bug, and is left as it was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from notifications.outbox import receipts, recover
from notifications.outbox.listing import list_
from notifications.outbox.recover import Policy, TakenBack
from notifications.outbox.rules import NOT_LISTED, RECEIPT_NOT_APPLIED
from notifications.outbox.statement import run

# Notifications whose stored receipts say more than their status. Rows: (id), a thousand at most.
UNAPPLIED: Final = f"SELECT id FROM ({RECEIPT_NOT_APPLIED.broken}) AS broken LIMIT 1000"

# Notifications that are in no list. Rows: (id), a thousand at most.
UNLISTED: Final = f"SELECT id FROM ({NOT_LISTED.broken}) AS broken LIMIT 1000"

# What ended an hour ago in lanes that hold nothing. Only a success forgets a pause, and none will come: the webhook was
# renamed, its channel removed. Should the lane come to life again it begins without failures, and with all its tokens.
# Indexes: notification_ready, notification_claimed. Rows: (lane).
FORGET_PAUSES: Final = """
DELETE FROM lane_state s
WHERE greatest(s.paused_until, s.stopped_until, s.next_at) < now() - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM notification n WHERE n.status = 'pending' AND n.lane = s.lane)
  AND NOT EXISTS (SELECT 1 FROM notification n WHERE n.status = 'sending' AND n.lane = s.lane)
RETURNING s.lane
"""


@dataclass(frozen=True, slots=True)
class Repaired:
    claims: list[TakenBack]  # of dead workers: released, sent again and marked, or parked as unknown, by the policy
    receipts: int  # notifications whose stored receipts were applied
    pauses: int  # of lanes that hold nothing any more
    listed: int  # notifications that were in no list


def repair(dead: Mapping[UUID, int | None], policies: Mapping[str, Policy]) -> Repaired:
    """Do what is safe. `dead`: what an audit found, which has watched them for longer than relays do; a beat that has
    moved since saves its worker. Safe to repeat, and while workers run.

    Raises: django.db.OperationalError; what was done until then stays done.
    """
    claims: list[TakenBack] = []
    for worker_id, beat in dead.items():
        if beat is not None:
            claims += recover.bury(worker_id, observed_beat=beat, policies=policies) or []
    claims += recover.recover_missing(policies)
    settled = 0
    while unapplied := [row[0] for row in run(UNAPPLIED, {})]:
        applied = receipts.apply_stored(unapplied)
        settled += len(applied)
        if not applied:
            break
    listed = 0
    while unlisted := [row[0] for row in run(UNLISTED, {})]:
        list_(unlisted)
        listed += len(unlisted)
    return Repaired(claims, settled, len(run(FORGET_PAUSES, {})), listed)
