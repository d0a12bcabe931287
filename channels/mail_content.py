"""What a mail may have beyond its text: HTML, addresses for answers, a few headers, files. For every email backend."""

from __future__ import annotations

import binascii
import mimetypes
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from channels import text
from channels.contract import Content, File, Unacceptable

HTML_LIMIT: Final = 256 * 1024  # bytes of UTF-8, as of the text; Gmail shows 102 kB of it
REPLY_TO_LIMIT: Final = 10  # addresses
HEADERS_LIMIT: Final = 20
HEADER_LIMIT: Final = 900  # characters of a value; with its name within one line of RFC 5322 (section 2.1.1: 998)
FILES_LIMIT: Final = 10
FILES_SIZE_LIMIT: Final = 5 * 1024 * 1024  # bytes of all; 7 MB in base64, and relays take 10 at the least
FILE_NAME_LIMIT: Final = 150  # characters

# No path, nothing that is invisible or turns the order of what is read, nothing that a file system drops or hides.
_IN_NAME = r"[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069/\\]"
_AT_ENDS = _IN_NAME.replace("/", r"/\u0020.")
FILE_NAME: Final = re.compile(rf"{_AT_ENDS}(?:{_IN_NAME}*{_AT_ENDS})?")
# https://www.rfc-editor.org/rfc/rfc6838#section-4.2; a multipart or a message would be a mail in the mail.
CONTENT_TYPE: Final = re.compile(r"(?:application|audio|font|image|model|text|video)/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
HEADER_NAME: Final = re.compile(r"[Xx]-[A-Za-z0-9-]{1,75}")
HEADER_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
UNSUBSCRIBE: Final = "List-Unsubscribe"
UNSUBSCRIBE_POST: Final = "List-Unsubscribe-Post"
UNSUBSCRIBE_VALUE: Final = re.compile(r"<(?:https|mailto):[!-;=?-~]+>(?:, ?<(?:https|mailto):[!-;=?-~]+>)*")  # RFC 2369
ONE_CLICK: Final = "List-Unsubscribe=One-Click"  # https://www.rfc-editor.org/rfc/rfc8058#section-3.1
# The service's own, and those by which SendGrid and Mandrill take further recipients.
OWN_HEADERS: Final = frozenset({"x-correlation-id", "x-smtpapi"})
OWN_HEADERS_BEGIN: Final = "x-mc-"

NAMES: Final = frozenset({"html", "reply_to", "headers", "attachments"})  # of all that a mail may have

Fields = Mapping[str, Any]


def content(given: Fields) -> Content:
    """What a request has beyond its text, in its normal form: `html`, `reply_to` (a list), `headers`; the files apart.

    Raises: Unacceptable, naming the field.
    """
    written = {name: value for name, value in given.items() if name != "attachments"}
    return Content(fields(written), _files(given["attachments"]) if "attachments" in given else ())


def fields(given: Fields) -> Fields:
    """The same of all but the files; what it returns may be given again. Raises: as `content`."""
    known = {"html": _html, "reply_to": _reply_to, "headers": _headers}
    for name in given:
        if name not in known:
            raise Unacceptable(str(name)[:100], "unknown_field", "is nothing that a mail has")
    return {name: read(given[name]) for name, read in known.items() if name in given}


def _html(given: object) -> str:
    html = _text("html", given)
    if not html.strip():
        raise Unacceptable("html", "blank", "must not be empty: leave it out")
    if (size := len(html.encode())) > HTML_LIMIT:
        raise Unacceptable("html", "too_long", f"must be at most {HTML_LIMIT} bytes of UTF-8, not {size}")
    return html


def _reply_to(given: object) -> list[str]:
    if isinstance(given, str):
        return [text.normal_address("reply_to", given)]
    addresses = _list("reply_to", given, limit=REPLY_TO_LIMIT, of="addresses")
    return [
        text.normal_address(f"reply_to[{place}]", _text(f"reply_to[{place}]", each))
        for place, each in enumerate(addresses)
    ]


def _headers(given: object) -> dict[str, str]:
    headers = _object("headers", given)
    if len(headers) > HEADERS_LIMIT:
        raise Unacceptable("headers", "too_many", f"may be {HEADERS_LIMIT} at most")
    found: dict[str, str] = {}
    for name, value in headers.items():
        _require_header_name(name)
        if name.lower() in map(str.lower, found):
            raise Unacceptable(f"headers.{name}", "repeated", "is given twice: case makes no other header")
        found[name] = _header_value(name, value)
    if UNSUBSCRIBE_POST in found and UNSUBSCRIBE not in found:
        raise Unacceptable(f"headers.{UNSUBSCRIBE_POST}", "incomplete", f"goes with {UNSUBSCRIBE} only")
    return found


def _require_header_name(name: object) -> None:
    if not isinstance(name, str) or not (name in {UNSUBSCRIBE, UNSUBSCRIBE_POST} or HEADER_NAME.fullmatch(name)):
        detail = f"may be X-… (letters, digits and dashes), {UNSUBSCRIBE} and {UNSUBSCRIBE_POST}, and no other"
        raise Unacceptable("headers", "unknown_header", detail)
    if name.lower() in OWN_HEADERS or name.lower().startswith(OWN_HEADERS_BEGIN):
        raise Unacceptable(f"headers.{name}", "reserved", "is for the service itself to set, or for nobody")


def _header_value(name: str, given: object) -> str:
    value = _text(f"headers.{name}", given)
    if len(value) > HEADER_LIMIT:
        raise Unacceptable(f"headers.{name}", "too_long", f"must be at most {HEADER_LIMIT} characters")
    if not HEADER_VALUE.fullmatch(value):
        detail = "must be one line of printable ASCII, without spaces at its ends"
        raise Unacceptable(f"headers.{name}", "invalid_characters", detail)
    if name == UNSUBSCRIBE and not UNSUBSCRIBE_VALUE.fullmatch(value):
        raise Unacceptable(f"headers.{name}", "invalid", "must be <https:…>, <mailto:…>, or several with commas")
    if name == UNSUBSCRIBE_POST and value != ONE_CLICK:
        raise Unacceptable(f"headers.{name}", "invalid", f"must be {ONE_CLICK}")
    return value


def _files(given: object) -> list[File]:
    files: list[File] = []
    left = FILES_SIZE_LIMIT
    for place, each in enumerate(_list("attachments", given, limit=FILES_LIMIT, of="files")):
        here = f"attachments[{place}]"
        file = _file(here, each, left=left)
        left -= len(file.octets)
        files.append(file)
    return files


def _file(here: str, given: object, *, left: int) -> File:
    asked = _object(here, given)
    for name in ("name", "content"):
        if name not in asked:
            raise Unacceptable(f"{here}.{name}", "required", "is required")
    for name in asked:
        if name not in {"name", "content", "content_type"}:
            raise Unacceptable(f"{here}.{str(name)[:100]}", "unknown_field", "is nothing that a file has")
    name = _file_name(f"{here}.name", asked["name"])
    content_type = _content_type(f"{here}.content_type", asked.get("content_type", _guessed(name)))
    return File(name, content_type, _octets(f"{here}.content", asked["content"], left=left))


def _file_name(field: str, given: object) -> str:
    name = _text(field, given)
    if len(name) > FILE_NAME_LIMIT:
        raise Unacceptable(field, "too_long", f"must be at most {FILE_NAME_LIMIT} characters")
    if not FILE_NAME.fullmatch(name):
        detail = "must be a bare file name: no path, no control characters, no space or dot at either end"
        raise Unacceptable(field, "invalid_file_name", detail)
    return name


def _content_type(field: str, given: object) -> str:
    content_type = _text(field, given)
    if not CONTENT_TYPE.fullmatch(content_type):
        detail = "must be a type and subtype in small letters, such as application/pdf; no multipart and no message"
        raise Unacceptable(field, "invalid_content_type", detail)
    return content_type


def _guessed(name: str) -> str:
    """Decided once, at the accept: machines differ in the types that they know."""
    guess = mimetypes.guess_type(name)[0] or ""
    return guess if CONTENT_TYPE.fullmatch(guess) else "application/octet-stream"


def _octets(field: str, given: object, *, left: int) -> bytes:
    encoded = _text(field, given)
    if not encoded:
        raise Unacceptable(field, "blank", "must not be empty")
    too_large = Unacceptable(field, "too_large", f"is too large: all files may have {FILES_SIZE_LIMIT} bytes together")
    if len(encoded) > left * 4 / 3 + 4:  # before anything is made of it
        raise too_large
    try:
        octets = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        raise Unacceptable(field, "invalid_base64", "must be base64 (RFC 4648, section 4) on one line") from None
    if len(octets) > left:
        raise too_large
    return octets


def _text(field: str, given: object) -> str:
    if not isinstance(given, str):
        raise Unacceptable(field, "invalid", "must be a string")
    text.require_storable(field, given)
    return given


def _object(field: str, given: object) -> Fields:
    if not isinstance(given, Mapping):
        raise Unacceptable(field, "invalid", "must be an object")
    return given


def _list(field: str, given: object, *, limit: int, of: str) -> Iterator[object]:
    if not isinstance(given, list | tuple) or not 0 < len(given) <= limit:
        wrong = isinstance(given, list | tuple)
        raise Unacceptable(field, "wrong_number" if wrong else "invalid", f"must be a list of 1 to {limit} {of}")
    return iter(given)
