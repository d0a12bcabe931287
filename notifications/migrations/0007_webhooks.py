"""Where clients want to be told what becomes of their notifications."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import notifications.models

# A UUID of version 7, in the order of time: Postgres has uuidv7() from 18 on alone. It is a random one (version 4) whose
# first 48 bits are the time in milliseconds, and whose version is made 7 by setting two more bits of 0100.
UUID7 = """
CREATE OR REPLACE FUNCTION notifications_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1),
        'hex'
    )::uuid
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0006_test_keys")]

    operations = [
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "client",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhooks",
                        to="notifications.client",
                    ),
                ),
                ("url", models.TextField()),
                (
                    "events",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(
                            choices=[
                                ("sent", "sent"),
                                ("delivered", "delivered"),
                                ("failed", "failed"),
                                ("unknown", "unknown"),
                            ]
                        ),
                        default=notifications.models.every_event,
                        size=None,
                    ),
                ),
                ("description", models.TextField(blank=True)),
                ("is_active", models.BooleanField(default=True)),
                ("disabled_reason", models.TextField(blank=True)),
                ("secret", models.TextField(editable=False)),
                ("previous_secret", models.TextField(blank=True, editable=False)),
                ("previous_until", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"db_table": "webhook_endpoint", "ordering": ["id"]},
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.UniqueConstraint(fields=("client", "url"), name="webhook_endpoint_once"),
        ),
        migrations.RunSQL(UUID7, migrations.RunSQL.noop),  # whatever else uses it keeps it
    ]
