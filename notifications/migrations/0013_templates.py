"""Templates, their versions, and of which one a notification was written."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0012_suppression")]

    operations = [
        migrations.CreateModel(
            name="Template",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="What requests call it, such as order-shipped. It stays as it is.",
                        max_length=100,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                r"\A[a-z0-9][a-z0-9._-]{0,99}\Z",
                                "Small letters, digits, dots, dashes and underscores.",
                            )
                        ],
                    ),
                ),
                ("description", models.TextField(blank=True)),
                (
                    "is_active",
                    models.BooleanField(default=True, help_text="One that is not is unknown to requests."),
                ),
                ("current", models.PositiveIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"db_table": "template", "ordering": ["name"]},
        ),
        migrations.CreateModel(
            name="TemplateVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("bodies", models.JSONField()),
                ("example", models.JSONField(default=dict)),
                ("note", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.TextField()),
                (
                    "template",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="notifications.template",
                    ),
                ),
            ],
            options={
                "db_table": "template_version",
                "constraints": [
                    models.UniqueConstraint(fields=("template", "number"), name="template_version_once"),
                ],
            },
        ),
        # Nullable, without a default: the table is not rewritten, and an older server's inserts go on.
        migrations.AddField(model_name="notification", name="template", field=models.TextField(null=True)),
    ]
