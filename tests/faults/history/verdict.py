"""Whether a history could have been: what clients were told, against itself and against what is stored in the end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from .calls import Call

ACCEPTED, IN_USE, REUSED, AWAY = 202, 409, 422, 503
# No other answer may be given to a valid request, whatever breaks; None is no answer.
ANSWERS = frozenset({ACCEPTED, IN_USE, REUSED, AWAY, None})


@dataclass(frozen=True)
class Stored:
    """A notification and the answer that is kept for its key, as the tables have them."""

    id: UUID
    key: str
    text: str
    answer: bytes
    location: str


def broken_promises(calls: Sequence[Call], stored: Sequence[Stored]) -> list[str]:
    """A sentence for each promise that did not hold; none where all did."""
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    kept: dict[str, list[Stored]] = defaultdict(list)
    for each in stored:
        kept[each.key].append(each)
    found = [f"{key}: stored, and nobody asked for it" for key in kept.keys() - by_key.keys()]
    for key, of_key in by_key.items():
        found += [f"{key}: {sentence}" for sentence in _broken(of_key, kept.get(key, []))]
    return found


def _broken(calls: Sequence[Call], kept: Sequence[Stored]) -> Iterator[str]:
    """Of one key."""
    for status in {call.status for call in calls} - ANSWERS:
        yield f"answered with {status}"
    if len(kept) > 1:
        yield f"{len(kept)} notifications"
    accepted = [call for call in calls if call.status == ACCEPTED]
    if len({(call.body, call.location) for call in accepted}) > 1:
        yield "answered in more than one way"
    if sum(not call.replayed for call in accepted) > 1:
        yield "accepted for the first time more than once"
    yield from _not_kept(accepted, kept)
    yield from _out_of_order(calls, accepted)


def _not_kept(accepted: Sequence[Call], kept: Sequence[Stored]) -> Iterator[str]:
    ids: Mapping[UUID, Stored] = {each.id: each for each in kept}
    for call in accepted:
        id_ = UUID(json.loads(call.body)["id"])
        if id_ not in ids:
            yield f"{id_} was acknowledged and is not there"
        elif (ids[id_].answer, ids[id_].location) != (call.body, call.location):
            yield f"{id_} was answered otherwise than is kept"
        elif ids[id_].text != call.text:
            yield f"{id_} is not what was asked for"


def _out_of_order(calls: Sequence[Call], accepted: Sequence[Call]) -> Iterator[str]:
    """Answers that could not have been given at any moment between the call's begin and its end."""
    texts = {call.text for call in accepted}
    if len(texts) > 1:
        yield "two different requests were accepted"
    for call in calls:
        if call.status == REUSED and call.text in texts:
            yield "the request that has the key was told that another has it"
        if call.status == REUSED and not any(each.text != call.text and each.began < call.ended for each in calls):
            yield "told of another request before there was one"
        others = [each for each in calls if each is not call]
        if call.status == IN_USE and not any(each.began < call.ended for each in others):
            yield "told that the key is in use before anybody used it"
        if (
            call.status == ACCEPTED
            and call.replayed
            and not any(each.began < call.ended and each.text == call.text for each in others)
        ):
            yield "told that the answer was an old one at the first call"
