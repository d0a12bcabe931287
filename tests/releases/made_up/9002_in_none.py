from django.db import migrations

NOTED = "INSERT INTO lock_timeouts SELECT 'in none', current_setting('lock_timeout')"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("notifications", "9001_in_a_transaction")]
    operations = [migrations.RunSQL(NOTED, migrations.RunSQL.noop)]
