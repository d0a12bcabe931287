"""What a channel asks of a request, in a form that a database can keep: for requests that come from SQL."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Subject(enum.StrEnum):
    NONE = "none"  # refused: it would be lost
    OPTIONAL = "optional"
    REQUIRED = "required"


class Recipient(enum.StrEnum):
    NAME = "name"  # one of `names`; "" is `default`, and that is the only one where there is but one
    EMAIL = "email"  # as `channels.text.normal_address`, with a domain in ASCII
    PATTERN = "pattern"  # what `pattern` matches as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of `Backend.validate`: never laxer than it, and where stricter, the backend says so."""

    subject: Subject
    subject_limit: int = 0  # characters; of one line
    message_limit: int  # characters
    message_bytes: int = 0  # of UTF-8; 0 where only characters count
    recipient: Recipient
    names: tuple[str, ...] = ()
    pattern: str = ""  # in what Python and Postgres agree on: classes, groups (?:…), alternatives, counts up to 255
    refusal: tuple[str, str]  # of any other recipient: code, detail
    lane_for_each: bool = False  # whether `Backend.destination` is the recipient, or nothing
