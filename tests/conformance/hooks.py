"""What no schema can say, told to Schemathesis: it makes what the schema allows, this makes it what a client means."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import phonenumbers
import schemathesis
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from channels.twilio_sms import E164
from notifications.api.fields import Moment
from notifications.idempotency import InvalidKey, parse_key
from notifications.templating import NAME as TEMPLATE_NAME

# Of each country its own example, as the library has it: possible numbers of all lengths.
_NUMBERS = sorted(
    phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    for region in phonenumbers.SUPPORTED_REGIONS
    if (example := phonenumbers.example_number(region))
)
_NOW = datetime.now(UTC)
TEMPLATE = "known"  # the name of the one that the server has: of every channel, and in need of no variables


def _moment(minutes: int) -> str:
    return (_NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


schemathesis.openapi.format("e164", st.sampled_from(_NUMBERS))
# From an hour to nearly a year ahead: what can be both the time of a send and the end of a life.
schemathesis.openapi.format("date-time", st.integers(60, 365 * 24 * 60).map(_moment))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    mended = copy.deepcopy(case.body)
    for notification in _notifications(mended):
        _mend(notification)
    if isinstance(mended, dict) and re.match(r"https?://[!-~]+\Z", str(mended.get("url"))):
        mended["url"] = f"https://example.com/{next(_numbers)}"  # of the internet, and told once
    if mended != case.body:
        case.body = mended
    _use_each_key_once(case)


def _notifications(body: Any) -> Iterator[dict[str, Any]]:
    batch = body.get("notifications", [body]) if isinstance(body, dict) else []
    yield from (each for each in batch if isinstance(each, dict)) if isinstance(batch, list) else ()


def _mend(notification: dict[str, Any]) -> None:
    """One destination and one template are known, countries differ in the length of their numbers, no text anywhere in
    variables, or in what is Slack's own, holds a NUL, no two blocks have one id, and no life ends before its beginning.

    What is not of the form that the schema asks for stays as it is: to be refused.
    """
    if notification.get("channel") in ("slack", "apprise") and isinstance(notification.get("to"), str):
        notification["to"] = "default"
    for name in ("to", "send_to_number"):
        number = notification.get(name)
        if isinstance(number, str) and E164.fullmatch(number) and number not in _NUMBERS:
            notification[name] = _NUMBERS[len(number)]
    if "send_to" not in notification:
        _mend_blocks(notification, seen=set())
    if re.fullmatch(TEMPLATE_NAME, str(notification.get("template"))):
        notification["template"] = TEMPLATE
        version = notification.get("template_version")
        if type(version) in {int, float} and version % 1 == 0 and 0 < version < 2**31:  # to JSON, 5.0 is 5
            notification["template_version"] = 1
        if isinstance(notification.get("variables"), dict):
            notification["variables"] = json.loads(json.dumps(notification["variables"]).replace(r"\u0000", ""))
    begins, ends = (_when(notification.get(name)) for name in ("send_at", "expires_at"))
    if ends is not None and ends <= max(begins or _NOW, datetime.now(UTC) + timedelta(minutes=5)):
        notification["expires_at"] = None


def _mend_blocks(notification: dict[str, Any], *, seen: set[str]) -> None:
    if notification.get("channel") == "slack" and isinstance(notification.get("content"), dict):
        _mend_blocks(notification["content"], seen=seen)
    for name in {"blocks", "attachments"} & notification.keys():
        notification[name] = _without_nul(notification[name], seen)


def _without_nul(value: Any, seen: set[str]) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "0")
    if isinstance(value, list):
        return [_without_nul(each, seen) for each in value]
    if not isinstance(value, dict):
        return value
    mended = {_without_nul(name, seen): _without_nul(each, seen) for name, each in value.items()}
    id_ = mended.get("block_id")
    if isinstance(id_, str) and id_ in seen:
        del mended["block_id"]
    seen.add(str(id_))
    return mended


def _when(value: Any) -> datetime | None:
    try:
        return Moment().to_internal_value(value)
    except ValidationError:
        return None


_bodies: dict[str, str] = {}
_numbers = count()


def _use_each_key_once(case: schemathesis.Case) -> None:
    """As clients do: another request has another key."""
    try:
        key = parse_key(str((case.headers or {})["Idempotency-Key"]))
    except (KeyError, InvalidKey):
        return
    asked = json.dumps(case.body, default=str, sort_keys=True)
    place = f"{case.path} {case.path_parameters or {}}"
    if _bodies.setdefault(f"{place} {key}", asked) != asked:
        fresh = f"another request: {next(_numbers)}"
        _bodies[f"{place} {fresh}"] = asked
        case.headers = {**case.headers, "Idempotency-Key": fresh}
