"""Keys that reach the sandbox alone; those that there are stay live."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0005_listing")]

    operations = [
        migrations.AddField(
            model_name="apikey", name="is_test", field=models.BooleanField(default=False, verbose_name="test")
        ),
    ]
