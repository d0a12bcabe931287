from __future__ import annotations

import re
from pathlib import Path

from notifications.states import FINISHED, OPEN, TRANSITIONS, Event, Status

DIAGRAM = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_documented_diagram_is_the_state_table() -> None:
    drawn = {
        (source, event, target)
        for source, target, events in re.findall(r"^    (\w+) --> (\w+): (.+)$", DIAGRAM.read_text(), re.MULTILINE)
        for event in events.split(", ")
    }

    assert drawn == {
        (source.value, event.value, target.value)
        for (source, event), targets in TRANSITIONS.items()
        for target in targets
    }


def test_every_status_but_pending_can_be_reached() -> None:
    assert {target for targets in TRANSITIONS.values() for target in targets} == set(Status)


def test_every_event_leads_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_open_and_finished_share_the_statuses_out() -> None:
    assert set(Status) == OPEN | FINISHED
    assert not OPEN & FINISHED


def test_nothing_leaves_delivered_or_canceled() -> None:
    assert not {source for source, _ in TRANSITIONS} & {Status.DELIVERED, Status.CANCELED}
