"""No migration holds up who works meanwhile, or says here why it may."""

from __future__ import annotations

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from tests.releases.linting import findings
from tests.releases.linting import migrations as all_migrations
from tests.releases.stated import STATED

pytestmark = pytest.mark.django_db

TABLE = "notification"
AN_INDEX = models.Index(fields=["recipient"], name="by_recipient")


def made_up(*operations: Operation, atomic: bool = True) -> migrations.Migration:
    migration = migrations.Migration("9999_made_up", "notifications")
    migration.operations = list(operations)
    migration.atomic = atomic
    return migration


def sql(text: str) -> Operation:
    return migrations.RunSQL(text)


def test_every_migration_breaks_those_rules_alone_for_which_it_has_a_reason() -> None:
    known = all_migrations()

    found = {name: broken for name, migration in known.items() if (broken := findings(migration))}

    assert found == {name: set(reasons) for name, reasons in STATED.items()}
    assert len(known) >= 16


@pytest.mark.parametrize(
    ("operation", "rule"),
    [
        (migrations.AddIndex(TABLE, AN_INDEX), "require-concurrent-index-creation"),
        (migrations.RemoveIndex(TABLE, "notification_ready"), "require-concurrent-index-deletion"),
        (migrations.AlterField(TABLE, "tries", models.BigIntegerField(default=0)), "changing-column-type"),
        (migrations.AddField(TABLE, "more", models.TextField(default="")), "ban-drop-default"),
        (sql("ALTER TABLE notification ADD COLUMN more text NOT NULL"), "adding-required-field"),
        (
            sql("ALTER TABLE notification ADD COLUMN more uuid NOT NULL DEFAULT gen_random_uuid()"),
            "adding-field-with-default",
        ),
        (migrations.AlterField(TABLE, "traceparent", models.TextField()), "adding-not-nullable-field"),
        (migrations.RenameField(TABLE, "recipient", "addressee"), "renaming-column"),
        (migrations.AlterModelTable(TABLE, "message"), "renaming-table"),
        (migrations.RemoveField(TABLE, "traceparent"), "ban-drop-column"),
        (migrations.DeleteModel("Straggler"), "ban-drop-table"),
        (
            migrations.AddConstraint(TABLE, models.UniqueConstraint(fields=["provider_id"], name="once")),
            "disallowed-unique-constraint",
        ),
        (
            migrations.AddConstraint(TABLE, models.CheckConstraint(condition=models.Q(tries__lt=100), name="few")),
            "constraint-missing-not-valid",
        ),
        (migrations.AddField(TABLE, "more", models.PositiveIntegerField(null=True)), "column-with-a-check"),
        (sql("ALTER TABLE notification SET UNLOGGED"), "table-written-anew"),
        (sql("LOCK TABLE notification IN SHARE MODE"), "locked-outright"),
        (sql("UPDATE notification SET tries = 0"), "rows-changed-at-once"),
        (sql("INSERT INTO straggler SELECT id FROM notification"), "rows-copied-at-once"),
        (
            sql(
                "CREATE TRIGGER more AFTER INSERT ON notification EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            ),
            "trigger",
        ),
        (sql("ALTER TABLE tally ATTACH PARTITION more FOR VALUES FROM (1) TO (2)"), "partition-with-a-scan"),
        (migrations.RunPython(migrations.RunPython.noop), "cannot-be-written-as-sql"),
        (sql("DO $$ BEGIN EXECUTE 'DROP TABLE notification'; END $$"), "cannot-be-written-as-sql"),
    ],
    ids=lambda of: of if isinstance(of, str) else "",
)
def test_a_new_one_that_holds_others_up_or_breaks_the_old_release_is_refused(operation: Operation, rule: str) -> None:
    assert rule in findings(made_up(operation))


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField(TABLE, "more", models.TextField(null=True)),
        migrations.AddField(TABLE, "more", models.TextField(db_default="")),
        migrations.CreateModel(
            "More", [("id", models.UUIDField(primary_key=True))], {"indexes": [models.Index(fields=["id"], name="i")]}
        ),
        sql("ALTER TABLE notification ADD CONSTRAINT few CHECK (tries < 100) NOT VALID"),
        sql("ALTER TABLE notification VALIDATE CONSTRAINT few"),
    ],
    ids=["nullable", "default of the database", "new table", "unchecked constraint", "its check"],
)
def test_what_holds_nobody_up_is_let_in(operation: Operation) -> None:
    assert findings(made_up(operation)) == set()


@pytest.mark.django_db(transaction=True)
def test_an_index_made_concurrently_drops_first_what_a_try_before_may_have_left() -> None:
    drop, create = (
        sql("DROP INDEX CONCURRENTLY IF EXISTS by_recipient"),
        sql("CREATE INDEX CONCURRENTLY by_recipient ON notification (recipient)"),
    )

    assert findings(made_up(drop, create, atomic=False)) == set()
    assert findings(made_up(create, atomic=False)) == {"not-to-be-tried-again"}
    assert findings(made_up(AddIndexConcurrently(TABLE, AN_INDEX), atomic=False)) == {"not-to-be-tried-again"}
    assert "ban-concurrent-index-creation-in-transaction" in findings(made_up(drop, create))


def test_without_a_transaction_stands_nothing_that_cannot_be_begun_anew() -> None:
    a_column = migrations.AddField(TABLE, "more", models.TextField(null=True))

    assert findings(made_up(a_column, atomic=False)) == {"not-to-be-tried-again"}
