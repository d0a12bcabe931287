"""How the hot table is stored.

Every notification is updated twice and its partial indexes change each time: room on the page for new versions, and a
vacuum that comes early and never sleeps, keep its size in proportion to what is open.
"""

from django.db import migrations

SET = """
ALTER TABLE notification SET (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE lane_state SET (fillfactor = 50);
ALTER TABLE worker SET (fillfactor = 50);
"""
RESET = """
ALTER TABLE notification RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_delay);
ALTER TABLE lane_state RESET (fillfactor);
ALTER TABLE worker RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial")]

    operations = [migrations.RunSQL(SET, RESET)]
