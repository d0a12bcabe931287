"""The service's settings with a channel that sends nowhere: what remains is the outbox alone."""

import os

from notifier.settings import *  # noqa: F403
from notifier.settings import NOTIFIER_CHANNELS as _CHANNELS

if os.environ.get("BENCH_NOWHERE"):
    NOTIFIER_CHANNELS = {
        **_CHANNELS,
        "slack": {**_CHANNELS["slack"], "backend": "tests.bench.nowhere.Nowhere"},
    }
