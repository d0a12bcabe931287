from django.db import migrations

MADE = (
    "CREATE TABLE lock_timeouts AS SELECT 'in a transaction' AS place, current_setting('lock_timeout') AS lock_timeout"
)


class Migration(migrations.Migration):
    operations = [migrations.RunSQL(MADE, "DROP TABLE lock_timeouts")]
