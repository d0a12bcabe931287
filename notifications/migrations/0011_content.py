"""What a notification has beyond its text: fields with it, files once for all that have them."""

import django.db.models.deletion
from django.db import migrations, models

# Files are mostly packed already: to try and pack them again costs more than the rest of storing them.
AS_THEY_ARE = "ALTER TABLE attachment ALTER COLUMN content SET STORAGE EXTERNAL"


class Migration(migrations.Migration):
    dependencies = [("notifications", "0010_failover")]

    operations = [
        migrations.AddField(model_name="notification", name="content", field=models.JSONField(null=True)),
        migrations.CreateModel(
            name="Attachment",
            fields=[
                (
                    "digest",
                    models.BinaryField(editable=False, max_length=32, primary_key=True, serialize=False),
                ),
                ("content", models.BinaryField()),
                ("used_at", models.DateTimeField()),
            ],
            options={"db_table": "attachment"},
        ),
        migrations.CreateModel(
            name="AttachmentLink",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "notification_id", "digest", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("digest", models.BinaryField(db_index=True, max_length=32)),
                (
                    "notification",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="notifications.notification",
                    ),
                ),
            ],
            options={"db_table": "attachment_link"},
        ),
        migrations.RunSQL(AS_THEY_ARE, migrations.RunSQL.noop),
    ]
