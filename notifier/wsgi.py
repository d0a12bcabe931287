"""The web server's entry: `granian --interface wsgi notifier.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")

application = get_wsgi_application()
