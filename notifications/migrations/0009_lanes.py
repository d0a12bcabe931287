"""What workers share of a lane beyond its pause: the probe, an operator's pause, the tokens."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0008_sql_accept")]

    # Workers of before write rows without these, and read none of them.
    operations = [
        migrations.AlterField("lanestate", "reason", models.TextField(blank=True)),
        migrations.AddField("lanestate", "probe_until", models.DateTimeField(null=True)),
        migrations.AddField("lanestate", "probe_by", models.UUIDField(null=True)),
        migrations.AddField("lanestate", "stopped_until", models.DateTimeField(null=True)),
        migrations.AddField("lanestate", "stopped_by", models.TextField(blank=True, db_default="")),
        migrations.AddField("lanestate", "stopped_reason", models.TextField(blank=True, db_default="")),
        migrations.AddField("lanestate", "next_at", models.DateTimeField(null=True)),
    ]
