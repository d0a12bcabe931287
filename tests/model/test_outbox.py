"""Every life that a notification can lead, drawn by Hypothesis: what is done next, by whom, and who learns of it late.

The real statements on the real Postgres. After each step the promises are held against the tables, and the tables
against a model of what the step must do.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import Outbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

fixed = settings(
    max_examples=150,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
at_random = settings(fixed, max_examples=2000, derandomize=False, print_blob=True)


def test_every_life_of_the_outbox_keeps_its_promises(outbox: type[Outbox]) -> None:
    run_state_machine_as_test(outbox, settings=fixed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_so_do_many_more_drawn_anew_each_time(outbox: type[Outbox]) -> None:
    run_state_machine_as_test(outbox, settings=at_random)
