"""Until when a provider's own key makes a second send none: of notifications, and of their attempts in doubt."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0009_lanes")]

    operations = [
        migrations.AddField("notification", "deduplicated_until", models.DateTimeField(null=True)),
        migrations.AddField("attempt", "deduplicated_until", models.DateTimeField(null=True)),
    ]
