"""What is ready lies by client, so that a claim finds everybody's first without walking over anybody's million."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_storage")]

    operations = [
        migrations.RemoveIndex(model_name="notification", name="notification_ready"),
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(
                fields=["lane", "priority", "client", "due_at", "id"],
                condition=models.Q(status="pending"),
                name="notification_ready",
            ),
        ),
    ]
