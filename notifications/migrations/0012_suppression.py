"""Recipients to whom nothing is sent; `notifications_accept` looks for them, too."""

import importlib

from django.db import migrations, models
from django.db.models.functions import Concat

install = importlib.import_module("notifications.migrations.0008_sql_accept").install


class Migration(migrations.Migration):
    dependencies = [("notifications", "0011_content")]

    operations = [
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.TextField()),
                ("recipient", models.TextField()),
                ("test", models.BooleanField(default=False)),
                (
                    "address",
                    models.GeneratedField(
                        db_persist=True,
                        expression=Concat(
                            models.Case(
                                models.When(test=True, then=models.Value("~test:")),
                                default=models.Value(""),
                                output_field=models.TextField(),
                            ),
                            "channel",
                            models.Value(":", models.TextField()),
                            "recipient",
                        ),
                        output_field=models.TextField(db_collation="C"),
                    ),
                ),
                (
                    "reason",
                    models.TextField(
                        choices=[("opt_out", "opt_out"), ("hard_bounce", "hard_bounce"), ("manual", "manual")],
                        default="manual",
                    ),
                ),
                ("detail", models.TextField(blank=True)),
                ("source", models.TextField(blank=True)),
                ("notification_id", models.UUIDField(editable=False, null=True)),
                ("created_by", models.TextField(editable=False)),
                ("created_at", models.DateTimeField(editable=False)),
            ],
            options={"db_table": "suppression", "ordering": ["-id"]},
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.UniqueConstraint(fields=("address",), name="suppression_once"),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason__in", ["opt_out", "hard_bounce", "manual"])), name="suppression_reason"
            ),
        ),
        # The function as this version has it: as it was installed before, it had no such table to look into.
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
