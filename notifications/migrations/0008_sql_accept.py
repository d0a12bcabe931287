"""`notifications_accept`: any program or trigger of the database can accept a notification, in its own transaction."""

from pathlib import Path

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FUNCTIONS = Path(__file__).parent / "sql" / "accept.sql"
# notifications_uuid7 stays: others use it.
DROP = """
DROP FUNCTION IF EXISTS @schema@.notifications_accept, @schema@.notifications_accept_checked,
    @schema@.notifications_accept_canonical, @schema@.notifications_accept_version;
"""


def install(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    _run(editor, FUNCTIONS.read_text(encoding="utf-8"))


def remove(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    _run(editor, DROP)


def _run(editor: BaseDatabaseSchemaEditor, sql: str) -> None:
    """In the schema of the tables: the function names everything by it, so that no search path can lead it astray."""
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT relnamespace::regnamespace FROM pg_class WHERE oid = to_regclass('notification')")
        cursor.execute(sql.replace("@schema@", cursor.fetchone()[0]))


class Migration(migrations.Migration):
    dependencies = [("notifications", "0007_webhooks")]

    operations = [
        migrations.CreateModel(
            name="ChannelRules",
            fields=[
                ("channel", models.TextField(primary_key=True, serialize=False)),
                ("place", models.SmallIntegerField()),
                ("configured", models.BooleanField()),
                ("from_sql", models.BooleanField()),
                ("subject", models.TextField()),
                ("subject_limit", models.IntegerField()),
                ("message_limit", models.IntegerField()),
                ("message_bytes", models.IntegerField()),
                ("recipient", models.TextField()),
                (
                    "names",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
                ("pattern", models.TextField()),
                ("code", models.TextField()),
                ("detail", models.TextField()),
                ("lane_for_each", models.BooleanField()),
            ],
            options={"db_table": "channel_rules", "verbose_name_plural": "channel rules"},
        ),
        migrations.RunPython(install, remove),
    ]
