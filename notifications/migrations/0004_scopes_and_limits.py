"""What a key allows (those that there are: everything, as before), and how fast a client may ask."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import notifications.models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_ready_by_client")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(choices=[("send", "send"), ("read", "read"), ("manage", "manage")]),
                default=notifications.models.every_scope,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="rate_limit",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Notifications a minute; other requests count as one. Empty for RATE_LIMIT, 0 for no limit.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="ClientQuota",
            fields=[
                (
                    "client",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="notifications.client",
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("used", models.IntegerField()),
            ],
            options={"db_table": "client_quota"},
        ),
        # One row for each client, written over and over: room to do so in place.
        migrations.RunSQL(
            "ALTER TABLE client_quota SET (fillfactor = 50)", "ALTER TABLE client_quota RESET (fillfactor)"
        ),
    ]
