"""The web server's entry: `granian --interface wsgi notifier.wsgi:application`."""

import multiprocessing
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")

_django = get_wsgi_application()

from django.conf import settings  # noqa: E402 - the settings need the lines above

from notifier import environment, lifeline  # noqa: E402
from notifier.bodies import ChunkedBodies  # noqa: E402

if environment.flag("NOTIFIER_DIE_WITH_PARENT", default=False):
    # The server's main process may be killed, and then stops nobody: its workers would keep the port.
    _parent = multiprocessing.parent_process()
    lifeline.end_with_parent(parent=_parent.pid if _parent else None)

application = ChunkedBodies(_django, limit=settings.REQUEST_BODY_LIMIT)
