"""Keeps one program of a site running, as a supervisor would, and kills it when asked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from django.db import connection

from notifications.models import Worker
from tests.eventually import eventually
from tests.faults.site import Site
from tests.processes import Running

RESTART_AFTER: Final = 0.25  # seconds, as `make run` has it


@dataclass(frozen=True, slots=True)
class Life:
    """One start of the program."""

    running: Running
    began_at: float  # of the monotonic clock: when it was ready
    worker: Worker | None = None  # its lease


class Kept:
    """Starts it in a thread of its own, again and again. `start` returns once it is ready."""

    def __init__(self, site: Site, start: Callable[[], Life], *, grace: float) -> None:
        self._site = site
        self._start = start
        self._grace = grace
        self._wanted = True
        self._failure: BaseException | None = None
        self._life: Life | None = None
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)
        self._thread.start()

    @property
    def life(self) -> Life | None:
        """None while it is not ready. Raises what a start raised."""
        if self._failure is not None:
            raise self._failure
        return self._life

    def await_life(self) -> Life:
        return eventually(lambda: self.life, seconds=60, what="a program that was started again")

    def kill(self, *, whole: bool) -> float:
        """SIGKILL for all of it, as a machine ends, or only for a worker's child; when it was sent."""
        life = self.await_life()
        self._life = None
        now = monotonic()
        if whole or life.worker is None:
            os.killpg(life.running.popen.pid, signal.SIGKILL)
        else:
            os.kill(life.worker.pid, signal.SIGKILL)
        return now

    def stop_cleanly(self) -> float:
        """SIGTERM; the seconds until it had ended, which must be by itself and with exit status 0."""
        life = self.await_life()
        self._life = None
        began = monotonic()
        life.running.terminate()
        status = life.running.wait(self._grace)
        assert status == 0, f"exit status {status} after SIGTERM"
        return monotonic() - began

    def release(self) -> None:
        """Keep it no longer; the site ends what runs."""
        self._wanted = False

    def _keep(self) -> None:
        try:
            while self._wanted:
                life = self._life = self._start()
                life.running.popen.wait()
                self._life = None
                threading.Event().wait(RESTART_AFTER)
                self._site.end(life.running)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asks for its life
            if self._wanted:
                self._failure = error
        finally:
            connection.close()
