"""The web server's entry: `granian --interface wsgi notifier.wsgi:application`."""

import multiprocessing.process
import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any, Final

import psycopg
from django.core.wsgi import get_wsgi_application
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from notifier import deadline

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")

# What Django calls for a new connection, and the sender of nudges.
psycopg.connect = deadline.Connection.connect

# While a table stands locked (a migration, VACUUM FULL) the answer is a 503. Without a bound each request would wait as
# long as the lock is held, in the end with all threads, and then not even a probe is answered.
LOCK_WAIT: Final = timedelta(seconds=3)  # longer than a key is waited for, shorter than clients wait for an answer


def _bound_waits(connection: BaseDatabaseWrapper, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_WAIT.total_seconds():.0f}s"])


# Only here: a worker tries again until it is let in, and commands may take their time.
connection_created.connect(_bound_waits)

_django = get_wsgi_application()

from django.conf import settings  # noqa: E402 - the settings need the lines above

from notifier import environment  # noqa: E402
from notifier.bodies import ChunkedBodies  # noqa: E402


def _end_with(parent: multiprocessing.process.BaseProcess | None) -> None:
    """The server's main process may be killed, and then stops nobody: its workers would keep the port."""
    if parent is not None:
        parent.join()
        while True:
            # Again and again: one that comes before the server listens for signals is lost.
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)


if environment.flag("NOTIFIER_DIE_WITH_PARENT", default=False):
    _parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(_parent,), name="lifeline", daemon=True).start()

application = ChunkedBodies(_django, limit=settings.REQUEST_BODY_LIMIT)
