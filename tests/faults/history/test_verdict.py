"""The verdict on a history is only worth what it finds: each promise is broken once, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from .calls import Call
from .verdict import Stored, broken_promises

ID = UUID(int=7)
OTHER = UUID(int=8)


def answer(id_: UUID = ID) -> bytes:
    return json.dumps({"id": str(id_)}).encode()


def call(began: float, status: int | None = 202, **fields: Any) -> Call:
    told = {"body": answer(), "location": f"/n/{ID}"} if status == 202 else {}
    return Call(
        **{"client": 1, "key": "k", "text": "a", "began": began, "ended": began + 1, "status": status, **told, **fields}
    )


def stored(id_: UUID = ID, **fields: Any) -> Stored:
    return Stored(**{"id": id_, "key": "k", "text": "a", "answer": answer(id_), "location": f"/n/{id_}", **fields})


LIKELY = [
    call(0, None),
    call(2, 503),
    call(4, 409),
    call(4),
    call(6, replayed=True),
    call(8, 422, text="b"),
]


def test_what_really_happens_breaks_nothing() -> None:
    assert broken_promises(LIKELY, [stored()]) == []


def test_what_was_never_answered_may_or_may_not_be_there() -> None:
    assert broken_promises([call(0, None)], []) == []
    assert broken_promises([call(0, None)], [stored()]) == []


@pytest.mark.parametrize(
    ("calls", "kept", "sentence"),
    [
        ([call(0)], [], "acknowledged and is not there"),
        ([call(0)], [stored(), stored(OTHER)], "2 notifications"),
        ([call(0), call(2, body=answer(OTHER), replayed=True)], [stored()], "in more than one way"),
        ([call(0), call(2, location="/elsewhere", replayed=True)], [stored()], "in more than one way"),
        ([call(0), call(2)], [stored()], "for the first time more than once"),
        ([call(0)], [stored(answer=answer() + b" ")], "otherwise than is kept"),
        ([call(0)], [stored(text="b")], "not what was asked for"),
        ([call(0), call(2, text="b", replayed=True)], [stored()], "two different requests"),
        ([call(0), call(2, 422)], [stored()], "told that another has it"),
        ([call(0, 422, text="b"), call(5)], [stored()], "before there was one"),
        ([call(0, 409), call(5)], [stored()], "before anybody used it"),
        ([call(0, replayed=True)], [stored()], "at the first call"),
        ([call(0, 500)], [], "answered with 500"),
        ([], [stored()], "nobody asked for it"),
    ],
)
def test_a_broken_promise_is_found(calls: list[Call], kept: list[Stored], sentence: str) -> None:
    assert any(sentence in found for found in broken_promises(calls, kept)), broken_promises(calls, kept)


def test_keys_are_judged_apart() -> None:
    id_ = uuid4()
    other = replace(call(0), key="other", body=answer(id_), location=f"/n/{id_}")

    assert broken_promises([*LIKELY, other], [stored(), stored(id_, key="other")]) == []
