"""The web server's entry: `granian --interface wsgi notifier.wsgi:application`."""

import gc
import multiprocessing.process
import os
import signal
import threading
import time

_parent = multiprocessing.parent_process()
if _parent is not None:
    # A worker of the server listens for signals once this module is loaded; until then it has the main process's
    # handler, which stops nobody here, and would be waited for until it is killed. It has nothing yet to finish.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

from django.core.wsgi import get_wsgi_application  # noqa: E402 - stoppable before what takes time

from notifier import web_database  # noqa: E402 - as above

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")

web_database.guard()
_django = get_wsgi_application()

from django.conf import settings  # noqa: E402 - the settings need the lines above

from notifier import environment  # noqa: E402 - as above
from notifier.bodies import ChunkedBodies  # noqa: E402 - as above


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    """The server's main process may be killed, and then stops nobody: its workers would keep the port."""
    parent.join()
    while True:
        # Again and again: one that comes just before the server listens for signals is lost.
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)


if _parent is not None and environment.flag("NOTIFIER_DIE_WITH_PARENT", default=False):
    threading.Thread(target=_end_with, args=(_parent,), name="lifeline", daemon=True).start()

application = ChunkedBodies(_django, limit=settings.REQUEST_BODY_LIMIT, limits=settings.BODY_LIMITS)

# What is loaded by now is never garbage: a full collection that looks at it again stops every thread for long.
gc.collect()
gc.freeze()
# The framework leaves some forty objects in cycles with each request: collect those of hundreds of requests at a time,
# not of every fifteen.
gc.set_threshold(20_000, 20, 50)
