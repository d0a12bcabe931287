from __future__ import annotations

from uuid import UUID, uuid4

from notifications.holdings import Holdings
from notifications.outbox.claim import Claim


def claim(id_: UUID, attempt: int = 1) -> Claim:
    return Claim(
        id_, attempt, "ops", "", "hello", "", 0.0, 0, 0, False, None, None, 1, 1, None, False, None, None, 0.0, uuid4()
    )


def test_what_a_thread_holds_is_not_abandoned() -> None:
    holdings, id_ = Holdings(), uuid4()
    with holdings.claiming():
        holdings.take([claim(id_)])

    assert holdings.abandoned({id_: 1}) == set()


def test_what_no_thread_holds_is_abandoned() -> None:
    id_ = uuid4()

    assert Holdings().abandoned({id_: 1}) == {(id_, 1)}


def test_an_answer_that_is_still_under_way_is_waited_for() -> None:
    holdings, id_ = Holdings(), uuid4()
    with holdings.claiming():
        assert holdings.abandoned({id_: 1}) == set()
        holdings.take([claim(id_)])

    assert holdings.abandoned({id_: 1}) == set()


def test_an_answer_that_was_lost_is_noticed_once_its_statement_has_ended() -> None:
    holdings, id_ = Holdings(), uuid4()
    with holdings.claiming():
        assert holdings.abandoned({id_: 1}) == set()

    with holdings.claiming():  # a later claim cannot be the one that took it
        assert holdings.abandoned({id_: 1}) == {(id_, 1)}


def test_another_attempt_of_the_same_notification_is_another_claim() -> None:
    holdings, id_ = Holdings(), uuid4()
    holdings.take([claim(id_, attempt=1)])

    assert holdings.abandoned({id_: 2}) == {(id_, 2)}


def test_what_was_dropped_is_held_no_more() -> None:
    holdings, id_ = Holdings(), uuid4()
    holdings.take([claim(id_)])
    holdings.drop([claim(id_)])

    assert holdings.abandoned({id_: 1}) == {(id_, 1)}
