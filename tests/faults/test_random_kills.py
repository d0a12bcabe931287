"""The campaign: `make faults KILLS=1000` gives it time."""

from __future__ import annotations

import os
import sys
from statistics import median

import pytest

from tests.faults.campaign import Campaign
from tests.faults.measures import RECOVERY
from tests.faults.site import Site

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = int(os.environ.get("NOTIFIER_TESTS_KILLS", "20"))
SEED = int(os.environ.get("NOTIFIER_TESTS_SEED", "1"))
ENOUGH = 20  # kills, among which some surely hit a worker that held claims
BAR = 30  # characters
# Seconds that a worker may be late by when every core of the machine is busy with starting the killed ones.
BUSY = 3.0


class Bar:
    """One line of a terminal, or a line for each tenth where nobody watches."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._tenths = -1

    def __call__(self, kills: int, words: str) -> None:
        full = round(BAR * kills / max(1, KILLS))
        line = f"[{'#' * full}{'.' * (BAR - full)}] {kills:,} of {KILLS:,} kills, {words}"
        tenths = 10 * kills // max(1, KILLS)
        with self._capture.disabled():
            if sys.stderr.isatty():
                print(f"\r{line:<100}", end="", file=sys.stderr, flush=True)
            elif tenths > self._tenths:
                print(line, file=sys.stderr, flush=True)
        self._tenths = tenths


@pytest.mark.timeout(300 + 10 * KILLS)
def test_random_kills_under_load_lose_nothing_and_mark_what_they_double(
    site: Site, capsys: pytest.CaptureFixture[str], campaign_table: list[str]
) -> None:
    measures = Campaign(site, kills=KILLS, seed=SEED, progress=Bar(capsys)).run()

    campaign_table += [f"seed {SEED}", *measures.table()]
    assert measures.kills == KILLS
    assert not measures.doubled_by_stops
    assert not measures.unrecovered
    assert measures.recoveries or KILLS < ENOUGH
    assert median(measures.recoveries or [0.0]) <= RECOVERY
    assert max([*measures.recoveries, *measures.after_blackouts], default=0.0) <= RECOVERY + BUSY
