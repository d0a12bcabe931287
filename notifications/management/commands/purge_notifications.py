"""`manage.py purge_notifications`: delete and redact what is past its life, now, or what went to one recipient."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from channels.registry import open_channels
from notifications import services
from notifications.chores import in_words
from notifications.management.forgetting import forget
from notifications.management.operators import WRONG_USE, OperatorsCommand, actor, audited, user
from notifications.outbox.purge import purge
from notifications.outbox.redact import redact


class Command(OperatorsCommand):
    help = (
        "Deletes idempotency keys past IDEMPOTENCY_KEY_TTL, and notifications that finished more than RETENTION_DAYS "
        "ago, with their attempts, and files that none refers to; redacts those that finished more than "
        "REDACT_AFTER_DAYS ago. Never touches open ones or their keys; a failed one, which can be replayed, and its "
        "key go together. The workers do so once an hour by themselves, unless CHORES is off. "
        "Works in short transactions, each deletion noted in purge_ledger: it can be stopped and repeated at any time, "
        "beside the workers, too; the act is kept among the operations. With --recipient it deletes nothing, and "
        "redacts all that is finished and went to one recipient, whoever sent it. Exit status: 0 done, 1 not "
        "confirmed, 2 wrong options, 3 the database did not answer, 4 something to the recipient is not finished and "
        "was left, 130 interrupted."
    )
    dry_run = False
    records = notifications = attempts = files = redacted = 0

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be")
        parser.add_argument("--recipient", help="somebody who asks to be forgotten: an address or a number")
        parser.add_argument("--channel", help=f"with --recipient: only over one of {', '.join(open_channels())}")
        parser.add_argument("--yes", action="store_true", help="with --recipient: do not ask")
        parser.add_argument("--actor", type=actor, help="who is doing this (default: your name on this machine)")

    def handle(self, *args: Any, **options: Any) -> None:
        self.dry_run = options["dry_run"]
        if options["recipient"] is not None:
            forget(
                self,
                options["recipient"],
                options["channel"],
                by=options["actor"] or user(),
                ask=not options["yes"],
                dry_run=self.dry_run,
            )
        elif options["channel"] is not None or options["yes"]:
            raise CommandError("--channel and --yes need --recipient.", returncode=WRONG_USE)
        else:
            try:
                self._purge()
            finally:
                if not self.dry_run:
                    self._note(options["actor"] or user())
            self.stdout.write(self.so_far())

    def _purge(self) -> None:
        key_life: timedelta = settings.IDEMPOTENCY_KEY_TTL
        retention = timedelta(days=settings.RETENTION_DAYS)
        with self.progress() as progress:
            keys = progress.add_task("keys", total=1)
            notifications = progress.add_task("notifications", total=None)
            for step in purge(key_life=key_life, retention=retention, counting=self.dry_run):
                self.records += step.records
                self.notifications += step.notifications
                self.attempts += step.attempts
                self.files += step.files
                progress.update(keys, completed=step.keys_read)
                progress.update(notifications, description=f"notifications ({self.notifications:,})")
            if settings.REDACT_AFTER_DAYS:
                redacting = progress.add_task("redacted", total=None)
                for count in redact(older_than=timedelta(days=settings.REDACT_AFTER_DAYS), counting=self.dry_run):
                    self.redacted += count
                    progress.update(redacting, description=f"redacted ({self.redacted:,})")

    def _note(self, by: str) -> None:
        """Keep the act, however it ends: what went until then is gone."""
        went = {"notifications": self.notifications, "attempts": self.attempts, "keys": self.records}
        subject = in_words("deleted", went | {"files": self.files})
        if settings.REDACT_AFTER_DAYS:
            subject += f"; {in_words('redacted', {'notifications': self.redacted})}"
        touched = self.notifications + self.redacted
        audited(services.Noted.PURGE, by, subject, touched=touched)

    def so_far(self) -> str:
        verb = "Would delete" if self.dry_run else "Deleted"
        hours = settings.IDEMPOTENCY_KEY_TTL / timedelta(hours=1)
        deleted = (
            f"{verb} {self.records:,} idempotency keys older than {hours:g} hours, and "
            f"{self.notifications:,} notifications finished over {settings.RETENTION_DAYS} days ago "
            f"with their {self.attempts:,} attempts" + (f", and {self.files:,} files." if self.files else ".")
        )
        if not settings.REDACT_AFTER_DAYS:
            return deleted
        verb = "Would redact" if self.dry_run else "Redacted"
        return f"{deleted} {verb} {self.redacted:,} finished over {settings.REDACT_AFTER_DAYS} days ago."
