"""Lists by client, recipient, correlation id and metadata, beside the hot table: written once for each notification."""

from django.db import migrations, models

# What is there already. The expressions are those of outbox/listing.py.
FILL = """
INSERT INTO listing (client_id, id, recipient, correlation)
SELECT client_id, id, hashtextextended(recipient, client_id), hashtextextended(correlation_id, client_id)
FROM notification;
INSERT INTO label (term, id)
SELECT hashtextextended(l.key || '=' || l.value, n.client_id), n.id
FROM notification AS n CROSS JOIN LATERAL jsonb_each_text(n.metadata) AS l
ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0004_scopes_and_limits")]

    operations = [
        migrations.CreateModel(
            name="Listing",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "client_id", "id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("client_id", models.BigIntegerField()),
                ("id", models.UUIDField()),
                ("recipient", models.BigIntegerField()),
                ("correlation", models.BigIntegerField()),
            ],
            options={"db_table": "listing"},
        ),
        migrations.CreateModel(
            name="Label",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "term", "id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("term", models.BigIntegerField()),
                ("id", models.UUIDField()),
            ],
            options={"db_table": "label"},
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="listing", index=models.Index(fields=["recipient", "id"], name="listing_recipient")
        ),
        migrations.AddIndex(
            model_name="listing", index=models.Index(fields=["correlation", "id"], name="listing_correlation")
        ),
    ]
