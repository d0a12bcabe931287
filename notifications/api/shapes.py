"""What JSON Schema can say of a field: limits, patterns, formats.

The rules are the channels' own, and the service's. Here they are told in the schema's words, and a test tries both
sides of each. What no schema can say (how long a country's numbers are, that an end comes after its beginning) is in
the descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from channels import apprise, email_backend, mail_content, slack, slack_content, text, twilio_sms, webhook
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
_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_BARE_KEY = rf"[!#-+\--~](?:[ -+\--~]{{0,{LONGEST_KEY - 2}}}[!-+\--~])?"
_QUOTED_KEY = rf'"(?:[ !#-\[\]-~]|\\["\\]){{1,{LONGEST_KEY}}}"'


def _message(limit: int) -> Shape:
    return {"type": "string", "minLength": 1, "maxLength": limit, "pattern": _SAYS_SOMETHING}


SLACK_MESSAGE: Final = _message(slack.MESSAGE_LIMIT)
MAIL_MESSAGE: Final = _message(email_backend.MESSAGE_LIMIT)
SMS_MESSAGE: Final = _message(twilio_sms.MESSAGE_LIMIT)
APPRISE_MESSAGE: Final = _message(apprise.MESSAGE_LIMIT)
SUBJECT: Final[Shape] = {
    "type": "string",
    "minLength": 1,
    "maxLength": email_backend.SUBJECT_LIMIT,
    "pattern": _ONE_LINE,
}
TITLE: Final[Shape] = {"type": "string", "maxLength": apprise.SUBJECT_LIMIT, "pattern": rf"^[^{_CONTROL}]+$"}  # or none
NO_SUBJECT: Final[Shape] = {"type": "string", "maxLength": 0}
EMAIL: Final[Shape] = {"type": "string", "format": "email", "maxLength": text.ADDRESS_LIMIT}
E164: Final[Shape] = {"type": "string", "format": "e164", "pattern": rf"^{twilio_sms.E164.pattern}$"}

# What a mail has beyond its text.
HTML: Final = _message(mail_content.HTML_LIMIT)
REPLY_TO: Final[Shape] = {
    "anyOf": [EMAIL, {"type": "array", "items": EMAIL, "minItems": 1, "maxItems": mail_content.REPLY_TO_LIMIT}]
}
_HEADER_VALUE: Final[Shape] = {
    "type": "string",
    "maxLength": mail_content.HEADER_LIMIT,
    "pattern": f"^{mail_content.HEADER_VALUE.pattern}$",
}
HEADERS: Final[Shape] = {
    "type": "object",
    "maxProperties": mail_content.HEADERS_LIMIT,
    "properties": {
        mail_content.UNSUBSCRIBE: {**_HEADER_VALUE, "pattern": f"^{mail_content.UNSUBSCRIBE_VALUE.pattern}$"},
        mail_content.UNSUBSCRIBE_POST: {"type": "string", "const": mail_content.ONE_CLICK},
    },
    "patternProperties": {f"^{mail_content.HEADER_NAME.pattern}$": _HEADER_VALUE},
    "additionalProperties": False,
    "dependentRequired": {mail_content.UNSUBSCRIBE_POST: [mail_content.UNSUBSCRIBE]},
}
FILES: Final[Shape] = {
    "type": "array",
    "minItems": 1,
    "maxItems": mail_content.FILES_LIMIT,
    "items": {
        "type": "object",
        "required": ["name", "content"],
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "maxLength": mail_content.FILE_NAME_LIMIT,
                "pattern": f"^{mail_content.FILE_NAME.pattern}$",
            },
            "content_type": {"type": "string", "pattern": f"^{mail_content.CONTENT_TYPE.pattern}$"},
            "content": {"type": "string", "minLength": 1, "contentEncoding": "base64", "pattern": _BASE64},
        },
    },
}
ABOUT_HEADERS: Final = "X-… but for the service's own, and those by which a mailbox unsubscribes (RFC 8058)."
ABOUT_FILES: Final = (
    f"Files in base64, {mail_content.FILES_SIZE_LIMIT // 2**20} MiB of them at most. "
    "`content_type` is guessed from the name where it is left out."
)
_BESIDE_HTML: Final[Shape] = {"reply_to": REPLY_TO, "headers": HEADERS, "attachments": FILES}
MAIL_CONTENT: Final[Shape] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"html": HTML, **_BESIDE_HTML},
}
MAIL_CONTENT_BESIDE_TEMPLATE: Final[Shape] = {**MAIL_CONTENT, "properties": _BESIDE_HTML}

# And what a Slack message has: sizes and shapes, of which each kind of block has some more.
SLACK_BLOCKS: Final[Shape] = {
    "type": "array",
    "minItems": 1,
    "maxItems": slack_content.BLOCKS_LIMIT,
    "items": {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"type": "string", "minLength": 1, "maxLength": slack_content.TYPE_LIMIT},
            "block_id": {"type": "string", "minLength": 1, "maxLength": slack_content.BLOCK_ID_LIMIT},
        },
    },
}
SLACK_ATTACHMENTS: Final[Shape] = {
    "type": "array",
    "minItems": 1,
    "maxItems": slack_content.ATTACHMENTS_LIMIT,
    "items": {"type": "object", "minProperties": 1, "properties": {"blocks": SLACK_BLOCKS}},
}
SLACK_CONTENT: Final[Shape] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"blocks": SLACK_BLOCKS, "attachments": SLACK_ATTACHMENTS},
}
NO_CONTENT: Final[Shape] = {"type": "object", "maxProperties": 0}

WEBHOOK: Final[Shape] = {"type": "string"}  # which there are is for each service to say
DESTINATION: Final = WEBHOOK  # likewise
METADATA: Final[Shape] = {
    "type": "object",
    "propertyNames": {"pattern": _NO_NUL},
    "additionalProperties": {"anyOf": [{"type": "string", "pattern": _NO_NUL}, {"type": "number"}]},
}
MEASURES: Final = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
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
