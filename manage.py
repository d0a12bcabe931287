#!/usr/bin/env python
"""Django's command line for this service: `python manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from notifier import embedded, first_run

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, embedded.EmbeddedError, first_run.UnusableFolder) as error:
        sys.exit(f"{error}")
    except OperationalError as error:
        sys.exit(_unreachable(error))


def _unreachable(error: Exception) -> str:
    from django.conf import settings

    from notifier import embedded

    if settings.EMBEDDED and embedded.running(settings.DATA_DIR) is None:
        return (
            "The database is not running: start `make run` in another terminal, or set DATABASE_URL. "
            f"(It is the embedded one of {settings.DATA_DIR}.)"
        )
    return f"The database cannot be used: {error}"


if __name__ == "__main__":
    main()
