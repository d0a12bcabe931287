"""What the relays do on time: who has it in hands, and what came of it."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0015_redaction"),
    ]

    operations = [
        migrations.CreateModel(
            name="Chore",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("taken_by", models.UUIDField(null=True)),
                ("taken_at", models.DateTimeField(null=True)),
                ("done", models.JSONField(db_default=models.Value({}, output_field=models.JSONField()), default=dict)),
                ("last_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_by", models.TextField(blank=True, db_default="")),
                ("last_result", models.TextField(blank=True, db_default="")),
            ],
            options={
                "db_table": "chore",
            },
        ),
    ]
