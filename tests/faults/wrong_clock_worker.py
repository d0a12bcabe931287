"""The worker's entry on a machine whose clock is wrong: `dramatiq tests.faults.wrong_clock_worker`.

NOTIFIER_TESTS_CLOCK: how many seconds it is fast. All that Python offers of the time of day is wrong, for every module
that is imported from here on; the monotonic clock is not, because nobody sets that one. (Debian's libfaketime would do
the same below Python, but `time.sleep` fails under it where the monotonic clock is to be left alone.)
"""

from __future__ import annotations

import datetime
import os
import time
from typing import Any

_OFF = float(os.environ["NOTIFIER_TESTS_CLOCK"])
_time, _gmtime, _localtime = time.time, time.gmtime, time.localtime
_datetime: type[Any] = datetime.datetime


class _AnyDatetime(type):
    # What comes from the database is of the real class.
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


class _WrongDatetime(_datetime, metaclass=_AnyDatetime):  # type: ignore[misc]
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


# psycopg knows by its name how to write it.
_WrongDatetime.__module__, _WrongDatetime.__qualname__ = "datetime", "datetime"
datetime.datetime = _WrongDatetime  # type: ignore[misc]
time.time = lambda: _time() + _OFF
time.time_ns = lambda: int(time.time() * 1e9)
time.gmtime = lambda seconds=None: _gmtime(time.time() if seconds is None else seconds)
time.localtime = lambda seconds=None: _localtime(time.time() if seconds is None else seconds)

from notifier.worker import broker as broker  # noqa: E402 - with the wrong clock
