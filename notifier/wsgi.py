"""The web server's entry: `granian --interface wsgi notifier.wsgi:application`."""

import multiprocessing.process
import os
import select
import signal
import threading
import time
from datetime import timedelta
from typing import Any, Final

from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")

# While a table stands locked (a migration, VACUUM FULL) the answer is a 503. Without a bound each request would wait as
# long as the lock is held, in the end with all threads, and then not even a probe is answered.
LOCK_WAIT: Final = timedelta(seconds=3)  # longer than a key is waited for, shorter than clients wait for an answer


def _bound_waits(connection: BaseDatabaseWrapper, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_WAIT.total_seconds():.0f}s"])


# Only here: a worker tries again until it is let in, and commands may take their time.
connection_created.connect(_bound_waits)


def _drop_dead_connection(**_: Any) -> None:
    """A server that ended or restarted has hung up: seen on the socket, where a `SELECT 1` would be a round trip."""
    raw = connection.connection
    if raw is not None and not connection.in_atomic_block and (raw.closed or _has_spoken(raw.fileno())):
        connection.close()


def _has_spoken(descriptor: int) -> bool:
    """Whether an idle connection has something to read: its end, or a word of its administrator."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


# After Django's own of this signal, which gives up connections that failed in the last request.
request_started.connect(_drop_dead_connection)

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

application = ChunkedBodies(_django, limit=settings.REQUEST_BODY_LIMIT, limits=settings.BODY_LIMITS)
