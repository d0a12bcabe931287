"""How far redaction has come, and what it has left behind."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0014_operating"),
    ]

    operations = [
        migrations.CreateModel(
            name="Redaction",
            fields=[
                ("one", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("through", models.UUIDField()),
            ],
            options={
                "db_table": "redaction",
                "constraints": [models.CheckConstraint(condition=models.Q(("one", True)), name="redaction_one")],
            },
        ),
        migrations.CreateModel(
            name="Straggler",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
            ],
            options={
                "db_table": "straggler",
            },
        ),
    ]
