"""The model can fail: a fence or a lock removed on purpose, and it finds that a promise is broken."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import RULES, Outbox
from .mutants import MUTANTS
from .promises import Broken

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

# The first example that finds it is enough: none is made smaller.
hunting = settings(
    max_examples=500,
    stateful_step_count=20,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_finds(name: str, outbox: type[Outbox], monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    mutant.live(monkeypatch)
    monkeypatch.setattr(outbox, "without", RULES - mutant.rules)
    if mutant.meet:
        first, other = mutant.meet
        monkeypatch.setattr(outbox, "first", (first,))
        monkeypatch.setattr(outbox, "other", (other,))

    with pytest.raises(Broken) as found:
        run_state_machine_as_test(outbox, settings=hunting)

    print(found.value)


def test_every_rule_that_a_mutant_needs_is_there() -> None:
    assert frozenset().union(*(mutant.rules for mutant in MUTANTS.values())) <= RULES
