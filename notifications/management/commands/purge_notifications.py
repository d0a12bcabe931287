"""`manage.py purge_notifications`: delete what is past its life; meant for a timer, once a day."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings

from notifications.management.operators import OperatorsCommand
from notifications.outbox.purge import purge


class Command(OperatorsCommand):
    help = (
        "Deletes idempotency keys past IDEMPOTENCY_KEY_TTL, and notifications that finished more than RETENTION_DAYS "
        "ago, with their attempts, and files that none refers to. Never touches open ones or their keys; a failed one, "
        "which can be replayed, and its key go together. "
        "Works in short transactions, each noted in purge_ledger: it can be stopped and repeated at "
        "any time. Exit status: 0 done, 2 wrong options, 3 the database did not answer, 130 interrupted."
    )
    dry_run = False
    records = notifications = attempts = files = 0

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="delete nothing, say what would be")

    def handle(self, *args: Any, **options: Any) -> None:
        self.dry_run = options["dry_run"]
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
        self.stdout.write(self.so_far())

    def so_far(self) -> str:
        verb = "Would delete" if self.dry_run else "Deleted"
        hours = settings.IDEMPOTENCY_KEY_TTL / timedelta(hours=1)
        return (
            f"{verb} {self.records:,} idempotency keys older than {hours:g} hours, and "
            f"{self.notifications:,} notifications finished over {settings.RETENTION_DAYS} days ago "
            f"with their {self.attempts:,} attempts" + (f", and {self.files:,} files." if self.files else ".")
        )
