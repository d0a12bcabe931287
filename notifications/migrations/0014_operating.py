"""What operators look at and do: their acts, and the minutes' tallies; redaction, and traces."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0013_templates"),
    ]

    operations = [
        migrations.CreateModel(
            name="Tally",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute",
                        "channel",
                        "kind",
                        "code",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("channel", models.TextField()),
                ("kind", models.TextField()),
                ("code", models.TextField()),
                ("count", models.BigIntegerField()),
            ],
            options={
                "db_table": "tally",
            },
        ),
        # Nullable, without a default: the table is not rewritten, and an older server's inserts go on.
        migrations.AddField(
            model_name="notification",
            name="redacted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="notification",
            name="traceparent",
            field=models.TextField(null=True),
        ),
        migrations.CreateModel(
            name="Operation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("actor", models.TextField()),
                ("via", models.TextField(choices=[("admin", "Admin"), ("command", "Command")])),
                ("act", models.TextField()),
                ("subject", models.TextField(blank=True)),
                ("selection", models.JSONField(null=True)),
                ("rate", models.FloatField(null=True)),
                (
                    "state",
                    models.TextField(
                        choices=[("asked", "Asked"), ("running", "Running"), ("done", "Done"), ("stopped", "Stopped")],
                        default="done",
                    ),
                ),
                ("chosen", models.BigIntegerField(null=True)),
                ("touched", models.BigIntegerField(default=0)),
                ("left_alone", models.BigIntegerField(default=0)),
                ("after", models.UUIDField(null=True)),
                ("detail", models.TextField(blank=True)),
                ("form", models.UUIDField(null=True, unique=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "operation",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["asked", "running"])),
                        fields=["id"],
                        name="operation_unfinished",
                    )
                ],
            },
        ),
    ]
