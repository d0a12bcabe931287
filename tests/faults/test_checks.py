"""The checks find what they are for: a check that cannot fail says nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.factories import AttemptFactory, NotificationFactory
from tests.faults.checks import Acknowledged, Findings, examine
from tests.processes import database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def sent(text: str, *, marks: int = 0, attempts: int = 1, **fields: Any) -> Acknowledged:
    row: Any = NotificationFactory(  # type: ignore[no-untyped-call]
        channel="slack", body=text, **{"status": "sent", "attempt": attempts, **fields}
    )
    for number in range(1, attempts + 1):
        AttemptFactory(  # type: ignore[no-untyped-call]
            notification=row, number=number, possible_duplicate=number > attempts - marks
        )
    return Acknowledged(row.id, "slack", text, key=f"key of {text}")


def receive(journal: Path, *texts: str) -> None:
    with journal.open("a") as lines:
        for text in texts:
            lines.write(json.dumps({"channel": "slack", "body": text}) + "\n")


def findings(journal: Path, *told: Acknowledged, **options: Any) -> Findings:
    return examine(told, database=database_url(), journal=journal, **options)


def test_what_is_sent_received_and_marked_is_in_order(journal: Path) -> None:
    once, twice = sent("once"), sent("twice", attempts=2, marks=1)
    receive(journal, "once", "twice", "twice")

    found = findings(journal, once, twice)

    assert not found.broken
    assert (found.acknowledged, found.received, found.doubled) == (2, 3, {twice.id: 2})


def test_an_acknowledged_one_that_is_gone_is_lost(journal: Path) -> None:
    gone = Acknowledged(uuid4(), "slack", "gone", key="k")

    found = findings(journal, gone)

    assert found.lost == [gone.id]
    assert found.broken


def test_one_that_was_never_received_is_found_though_it_is_said_to_be_sent(journal: Path) -> None:
    said = sent("a")

    assert any("said to be sent" in each for each in findings(journal, said, excused=["sent"]).broken)


def test_only_an_excused_status_need_not_have_been_received(journal: Path) -> None:
    held = sent("a", status="unknown")

    assert findings(journal, held).broken
    assert not findings(journal, held, excused=["unknown"]).broken


def test_what_is_still_pending_is_not_settled(journal: Path) -> None:
    waiting = sent("a", status="pending")
    receive(journal, "a")

    assert findings(journal, waiting).broken
    assert not findings(journal, waiting, settled=False).broken


@pytest.mark.parametrize(("times", "marks"), [(2, 0), (3, 1)])
def test_a_duplicate_that_no_attempt_admits_is_unmarked(journal: Path, times: int, marks: int) -> None:
    told = sent("a", attempts=3, marks=marks)
    receive(journal, *["a"] * times)

    assert findings(journal, told).unmarked == [told.id]


def test_a_key_that_was_answered_with_two_ids_is_found(journal: Path) -> None:
    one, other = sent("a"), sent("b")
    receive(journal, "a", "b")

    assert findings(journal, one, replace(other, key=one.key)).broken


def test_a_text_that_was_stored_twice_is_found(journal: Path) -> None:
    one = sent("a")
    sent("a")
    receive(journal, "a")

    assert findings(journal, one).broken


def test_a_message_of_no_notification_is_found(journal: Path) -> None:
    receive(journal, "from nowhere")

    assert findings(journal).broken


def test_a_row_that_holds_another_text_than_was_posted_is_found(journal: Path) -> None:
    told = sent("a")
    receive(journal, "a")

    assert findings(journal, replace(told, text="b")).broken
