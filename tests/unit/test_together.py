from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from notifications.together import Together
from tests.eventually import eventually


class Calls:
    """What is called: each call is noted, and ends when the test says so."""

    def __init__(self) -> None:
        self.made: list[list[str]] = []
        self.may_end = threading.Event()
        self.fails: Callable[[Sequence[str]], bool] = lambda _: False

    def __call__(self, asked: Sequence[str]) -> list[str]:
        self.made.append(list(asked))
        assert self.may_end.wait(20)
        if self.fails(asked):
            raise OSError("cannot")
        return [ask.upper() for ask in asked]


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls()
    yield made
    made.may_end.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(10) as pool:
        yield pool


def while_one_is_called_for(
    calls: Calls, together: Together[str, list[str]], threads: ThreadPoolExecutor, *asks: str
) -> list[Future[list[str]]]:
    """`first` is called for while the others ask; then all may end."""
    first = threads.submit(together.ask, "first")
    eventually(lambda: calls.made, what="the first call")
    others = []
    for number, ask in enumerate(asks, 1):
        others.append(threads.submit(together.ask, ask))
        eventually(lambda wanted=number: len(together._waiting) == wanted, what="it waits")  # type: ignore[misc]
    calls.may_end.set()
    return [first, *others]


def test_one_alone_is_called_for_at_once(calls: Calls) -> None:
    calls.may_end.set()
    together = Together(calls)

    assert (together.ask("a"), together.ask("b")) == (["A"], ["B"])
    assert calls.made == [["a"], ["b"]]


def test_those_that_ask_during_a_call_share_the_next(calls: Calls, threads: ThreadPoolExecutor) -> None:
    together = Together(calls)

    first, *others = while_one_is_called_for(calls, together, threads, "a", "b", "c")

    assert first.result() == ["FIRST"]
    assert [other.result() for other in others] == [["A", "B", "C"]] * 3
    assert calls.made == [["first"], ["a", "b", "c"]]


def test_a_failure_of_all_is_none_of_those_that_succeed_alone(calls: Calls, threads: ThreadPoolExecutor) -> None:
    together = Together(calls)
    calls.fails = lambda asked: "bad" in asked

    _, good, bad, also_good = while_one_is_called_for(calls, together, threads, "a", "bad", "c")

    assert isinstance(good.exception(), OSError)  # it called for all of them, and asks again
    assert isinstance(bad.exception(), OSError)
    assert also_good.result() == ["C"]
    assert calls.made[:2] == [["first"], ["a", "bad", "c"]]
    assert together.ask("a") == ["A"]


def test_after_a_failure_the_next_call_is_made_all_the_same(calls: Calls, threads: ThreadPoolExecutor) -> None:
    together = Together(calls)
    calls.fails = lambda asked: "first" in asked

    first, other = while_one_is_called_for(calls, together, threads, "a")

    assert isinstance(first.exception(), OSError)
    assert other.result() == ["A"]


def test_whoever_has_waited_long_enough_is_called_for_beside_the_others(
    calls: Calls, threads: ThreadPoolExecutor
) -> None:
    together = Together(calls, patience=0.05)
    first = threads.submit(together.ask, "first")
    eventually(lambda: calls.made, what="the first call")

    others = [threads.submit(together.ask, ask) for ask in ("a", "b")]
    eventually(lambda: len(calls.made) == 3, what="a call for each, while the first is under way")
    assert not first.done()
    calls.may_end.set()

    assert [each.result() for each in (first, *others)] == [["FIRST"], ["A"], ["B"]]
    assert together.ask("c") == ["C"]  # nobody is left who was to lead
    assert calls.made[-1] == ["c"]


def test_whoever_is_called_for_waits_for_the_end_of_that(calls: Calls, threads: ThreadPoolExecutor) -> None:
    together = Together(calls, patience=0.2)
    slow = threading.Event()
    made = calls.__call__

    def call(asked: Sequence[str]) -> list[str]:
        answer = made(asked)
        if asked != ["first"]:
            assert slow.wait(20)
        return answer

    together._call = call
    first, leads, follows = while_one_is_called_for(calls, together, threads, "a", "b")
    assert first.result() == ["FIRST"]
    eventually(lambda: ["a", "b"] in calls.made, what="the call for both")
    assert not wait([leads, follows], timeout=0.5).done  # past the patience of both
    slow.set()

    assert (leads.result(), follows.result()) == (["A", "B"], ["A", "B"])
    assert calls.made == [["first"], ["a", "b"]]
