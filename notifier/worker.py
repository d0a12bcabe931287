"""The worker's entry for Dramatiq's command line: `dramatiq notifier.worker --processes 1 --threads 24`."""

import gc
import os
import signal
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifier.settings")
os.environ["NOTIFIER_ROLE"] = "worker"  # before the settings are read: a worker's threads share a connection pool

import django

from notifier import lifeline

# Dramatiq's command collects what its children write by a pipe and writes it itself: twice the work for each line.
sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
# Dramatiq forks this process; should its parent be killed, SIGTERM here still finishes what is being sent.
lifeline.end_with_parent(signal.SIGTERM)
django.setup()

import dramatiq  # noqa: E402

from notifications.lifecycle import WorkerLife  # noqa: E402

broker = dramatiq.get_broker()
WorkerLife().join(broker)

# What is loaded by now is never garbage: a full collection that looks at it again stops every thread for long.
gc.collect()
gc.freeze()
