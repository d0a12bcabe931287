"""What JSON Schema can say of a field: limits, patterns, formats.

The rules are the channels' own, and the service's. Here they are told in the schema's words, and a test tries both
sides of each. What no schema can say (how long a country's numbers are, that an end comes after its beginning) is in
the descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from channels import slack, smtp, text, twilio_sms, webhook
from notifications.idempotency import LONGEST_KEY
from notifications.templating import NAME as TEMPLATE_NAME

Shape = Mapping[str, Any]

MOST_LABELS: Final = 10  # that can be looked for at once
LONGEST_DESCRIPTION: Final = 200  # characters, of a webhook
LONGEST_RECIPIENT: Final = 500  # characters of what is looked for: longer than any channel's

# Patterns are those of ECMA 262, and read once from left to right: each character has one place to go.
_NO_NUL = r"^[^\u0000]*$"
# Spelt out: what is a space differs between Python and ECMA.
_SPACE = r"\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_BREAK = r"\u0009-\u000d\u001c-\u001f\u0085\u2028\u2029"
_SAYS_SOMETHING = rf"^[{_SPACE}{_BREAK}]*[^{_SPACE}{_BREAK}\u0000][^\u0000]*$"
_CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_ONE_LINE = rf"^[{_SPACE}]*[^{_SPACE}{_CONTROL}][^{_CONTROL}]*$"
_BARE_KEY = rf"[!#-+\--~](?:[ -+\--~]{{0,{LONGEST_KEY - 2}}}[!-+\--~])?"
_QUOTED_KEY = rf'"(?:[ !#-\[\]-~]|\\["\\]){{1,{LONGEST_KEY}}}"'


def _message(limit: int) -> Shape:
    return {"type": "string", "minLength": 1, "maxLength": limit, "pattern": _SAYS_SOMETHING}


SLACK_MESSAGE: Final = _message(slack.MESSAGE_LIMIT)
MAIL_MESSAGE: Final = _message(smtp.MESSAGE_LIMIT)
SMS_MESSAGE: Final = _message(twilio_sms.MESSAGE_LIMIT)
SUBJECT: Final[Shape] = {"type": "string", "minLength": 1, "maxLength": smtp.SUBJECT_LIMIT, "pattern": _ONE_LINE}
NO_SUBJECT: Final[Shape] = {"type": "string", "maxLength": 0}
EMAIL: Final[Shape] = {"type": "string", "format": "email", "maxLength": text.ADDRESS_LIMIT}
E164: Final[Shape] = {"type": "string", "format": "e164", "pattern": rf"^{twilio_sms.E164.pattern}$"}
WEBHOOK: Final[Shape] = {"type": "string"}  # which there are is for each service to say
METADATA: Final[Shape] = {
    "type": "object",
    "propertyNames": {"pattern": _NO_NUL},
    "additionalProperties": {"anyOf": [{"type": "string", "pattern": _NO_NUL}, {"type": "number"}]},
}
_LABELS: Final[Shape] = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MOST_LABELS,
    "propertyNames": {"pattern": _NO_NUL, "minLength": 1},
}
LABELS: Final[Shape] = {**_LABELS, "additionalProperties": METADATA["additionalProperties"]}
LABELS_OF_QUERY: Final[Shape] = {**_LABELS, "additionalProperties": {"type": "string", "pattern": _NO_NUL}}
RECIPIENT: Final[Shape] = _message(LONGEST_RECIPIENT)
TEMPLATE: Final[Shape] = {"type": "string", "pattern": f"^{TEMPLATE_NAME}$"}
LAST_VERSION: Final = 2**31 - 1  # of a template, that the database can count
VARIABLES: Final[Shape] = {"type": "object", "propertyNames": {"pattern": _NO_NUL}, "additionalProperties": {}}
WEBHOOK_URL: Final[Shape] = {
    "type": "string",
    "format": "uri",
    "maxLength": webhook.URL_LIMIT,
    "pattern": r"^https?://[!-~]+$",
}
DESCRIPTION: Final[Shape] = {"type": "string", "maxLength": LONGEST_DESCRIPTION, "pattern": _NO_NUL}
TRACE: Final[Shape] = {"type": "string", "pattern": "^[!-~]{1,128}$"}
KEY: Final[Shape] = {"type": "string", "pattern": f"^(?:{_BARE_KEY}|{_QUOTED_KEY})$"}
