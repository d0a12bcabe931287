"""What must be true of the tables at every instant: each rule one statement that finds what breaks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from notifications.outbox.listing import OWNER

# The claims of workers that nobody will finish. Index: notification_claimed.
ABANDONED: Final = "SELECT id FROM notification WHERE status = 'sending' AND worker_id = ANY(%(workers)s::uuid[])"


@dataclass(frozen=True, slots=True)
class Rule:
    """`broken` selects one column, what to show of each violation: a notification's id where there is one."""

    kind: str
    meaning: str
    broken: LiteralString


# A record and the receipts that came before it are two transactions, one right after the other: what came in the last
# minute may be between them.
RECEIPT_NOT_APPLIED: Final = Rule(
    "receipt_not_applied",
    "its provider has said more than its status tells, and that was stored over a minute ago",
    """SELECT n.id FROM receipt r JOIN notification n ON n.id = r.notification_id
       GROUP BY n.id
       HAVING max(r.received_at) < now() - interval '1 minute'
          AND ((max(r.rank) = 3 AND n.status NOT IN ('delivered', 'canceled'))
               OR (max(r.rank) FILTER (WHERE r.attempt = n.attempt) = 2 AND n.status IN ('sent', 'unknown'))
               OR (max(r.rank) FILTER (WHERE r.attempt = n.attempt) = 1 AND n.status = 'unknown'))""",
)
NOT_LISTED: Final = Rule(
    "not_listed",
    "on no page of its client's: it was stored otherwise than by this version of the service",
    f"""SELECT n.id FROM notification n
       WHERE NOT EXISTS (SELECT 1 FROM listing l WHERE l.client_id = {OWNER.format(row="n")} AND l.id = n.id)""",
)
RULES: Final = (
    Rule(
        "record_without_notification",
        "an idempotency key was answered with a notification that is gone: something accepted was lost",
        """SELECT r.id FROM (SELECT unnest(notification_ids) AS id FROM idempotency_record) AS r
           WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = r.id)""",
    ),
    Rule(
        "key_forgotten",
        "accepted under a key whose record is gone although it is open or under a day old: a retry would double it",
        # One that had been sent when its key's life ended may be open without it: a late receipt failed it, and an
        # operator replayed it.
        """SELECT n.id FROM notification n
           WHERE n.idempotency_key <> ''
             AND (n.created_at > now() - interval '24 hours'
                  OR (n.status IN ('pending', 'sending', 'unknown')
                      AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.notification_id = n.id AND r.rank = 2)))
             AND NOT EXISTS (SELECT 1 FROM (SELECT unnest(notification_ids) AS id FROM idempotency_record) AS r
                             WHERE r.id = n.id)""",
    ),
    NOT_LISTED,
    Rule(
        "sent_without_acceptance",
        "said to be sent or delivered, but no attempt was accepted and no receipt came",
        """SELECT n.id FROM notification n
           WHERE n.status IN ('sent', 'delivered')
             AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.notification_id = n.id
                             AND (a.outcome = 'accepted' OR a.late_outcome = 'accepted'))
             AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.notification_id = n.id)""",
    ),
    Rule(
        "accepted_and_open",
        "accepted by its provider, yet to be sent again although nobody replayed it: it would double",
        """SELECT n.id FROM notification n
           WHERE n.status IN ('pending', 'sending')
             AND EXISTS (SELECT 1 FROM attempt a WHERE a.notification_id = n.id AND a.outcome = 'accepted')
             AND NOT EXISTS (SELECT 1 FROM event e WHERE e.notification_id = n.id AND e.kind = 'replayed')""",
    ),
    Rule(
        "failed_after_acceptance",
        "said to have failed, but its last attempt was accepted and no receipt says otherwise",
        """SELECT n.id FROM notification n JOIN attempt a ON a.notification_id = n.id AND a.number = n.attempt
           WHERE n.status = 'failed' AND a.outcome = 'accepted'
             AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.notification_id = n.id)""",
    ),
    Rule(
        "unknown_without_doubt",
        "said to be unknown, but its last attempt's outcome is known, and none was in doubt under a provider's key",
        """SELECT n.id FROM notification n
           WHERE n.status = 'unknown'
             AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.notification_id = n.id
                             AND a.outcome IN ('in_doubt', 'lost', 'unexpected')
                             AND (a.deduplicated_until IS NOT NULL
                                  OR (a.number = n.attempt AND a.late_outcome <> 'accepted')))""",
    ),
    Rule(
        "canceled_by_nobody",
        "canceled, but no event says by whom",
        """SELECT n.id FROM notification n
           WHERE n.status = 'canceled'
             AND NOT EXISTS (SELECT 1 FROM event e WHERE e.notification_id = n.id AND e.kind = 'canceled')""",
    ),
    Rule(
        "silent_duplicate",
        "an attempt after one of unknown outcome was made without being marked as a possible duplicate, and not under "
        "the same provider's key in its time",
        """SELECT DISTINCT later.notification_id FROM attempt doubtful
           JOIN attempt later ON later.notification_id = doubtful.notification_id AND later.number > doubtful.number
           WHERE doubtful.outcome IN ('in_doubt', 'lost', 'unexpected')
             AND later.outcome <> 'released' AND NOT later.possible_duplicate
             AND (later.backend IN (doubtful.backend, '')
                  AND later.started_at < doubtful.deduplicated_until) IS NOT TRUE""",
    ),
    Rule(
        "attempt_miscounted",
        "`attempt` is not the last attempt row's number (one more while sending): a row was lost, or the fence moved",
        """SELECT n.id FROM notification n
           LEFT JOIN (SELECT notification_id, max(number) AS number FROM attempt GROUP BY notification_id) AS last
             ON last.notification_id = n.id
           WHERE coalesce(last.number, 0) <> n.attempt - (n.status = 'sending')::int""",
    ),
    Rule(
        "attempts_with_a_gap",
        "the attempts are not numbered 1, 2, 3 …: a claim ended without a row, or a row was lost",
        "SELECT notification_id FROM attempt GROUP BY notification_id HAVING count(*) <> max(number)",
    ),
    Rule(
        "attempt_without_notification",
        "an attempt of a notification that is gone (shown as id #number)",
        """SELECT a.notification_id || ' #' || a.number FROM attempt a
           WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = a.notification_id)""",
    ),
    Rule(
        "event_without_notification",
        "an event of a notification that is gone",
        """SELECT e.notification_id FROM event e
           WHERE NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = e.notification_id)""",
    ),
    Rule(
        "idle_with_worker",
        "not being sent, yet it bears a worker or a claim's times",
        """SELECT id FROM notification
           WHERE status <> 'sending'
             AND (worker_id IS NOT NULL OR claimed_at IS NOT NULL OR started_at IS NOT NULL)""",
    ),
    RECEIPT_NOT_APPLIED,
)
CLAIM_WITHOUT_WORKER: Final = Rule(
    "claim_without_worker",
    "being sent by a worker that is dead, and nobody took it back in time: is any worker running?",
    ABANDONED,
)
