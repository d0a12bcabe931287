"""The kinds of problem that the API answers: one table for the answers, the page /problems and the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the documented table: what a code means and what to do about it."""

    status: HTTPStatus
    title: str
    advice: str


KINDS: Mapping[str, Kind] = {
    "malformed_json": Kind(
        HTTPStatus.BAD_REQUEST, "The body is not the JSON object it should be", "Send one UTF-8 JSON object."
    ),
    "invalid": Kind(
        HTTPStatus.BAD_REQUEST,
        "The request has invalid fields",
        "Mend the fields named in errors; the key is free.",
    ),
    "bad_request": Kind(HTTPStatus.BAD_REQUEST, "The request cannot be understood", "See detail."),
    "idempotency_key_missing": Kind(
        HTTPStatus.BAD_REQUEST,
        "The Idempotency-Key header is missing",
        "Send one key for each notification, and the same one when you retry it.",
    ),
    "idempotency_key_invalid": Kind(
        HTTPStatus.BAD_REQUEST,
        "The Idempotency-Key header is invalid",
        "Send one key of 1 to 255 printable ASCII characters, bare or quoted.",
    ),
    "unauthenticated": Kind(
        HTTPStatus.UNAUTHORIZED, "A valid API key is required", "Send Authorization: Bearer <api key>."
    ),
    "client_inactive": Kind(
        HTTPStatus.FORBIDDEN, "This client is switched off", "Ask an operator to switch the client on."
    ),
    "scope_missing": Kind(
        HTTPStatus.FORBIDDEN,
        "The API key does not allow this",
        "Use a key with the scope that detail names: send, read or manage.",
    ),
    "sandbox_not_configured": Kind(
        HTTPStatus.FORBIDDEN,
        "This service has no sandbox for test keys",
        "Use a live key, or ask an operator to set SANDBOX_URL; nothing was stored, and the key is free.",
    ),
    "forbidden": Kind(HTTPStatus.FORBIDDEN, "This is not allowed", "See detail."),
    "not_found": Kind(HTTPStatus.NOT_FOUND, "There is nothing here", "Check the address and the id."),
    "method_not_allowed": Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "This address does not take the method", "See the Allow header."
    ),
    "not_acceptable": Kind(HTTPStatus.NOT_ACCEPTABLE, "Only JSON is answered", "Accept application/json."),
    "idempotency_key_in_use": Kind(
        HTTPStatus.CONFLICT,
        "A request with this key is in flight",
        "Send the same request again after Retry-After seconds.",
    ),
    "wrong_state": Kind(
        HTTPStatus.CONFLICT,
        "Its status does not allow this",
        "Failed and unknown ones can be resent, pending ones rescheduled, and all of these canceled.",
    ),
    "redacted": Kind(
        HTTPStatus.CONFLICT,
        "Nobody knows any more what it said",
        "Recipient and content of what finished long ago are removed, or the recipient asked for it: post a new one.",
    ),
    "suppressed": Kind(
        HTTPStatus.CONFLICT,
        "Nothing is sent to this recipient",
        "It opted out, does not exist, or an operator put it on the suppression list; the key is free.",
    ),
    "webhook_conflict": Kind(
        HTTPStatus.CONFLICT,
        "Your webhooks leave no room for this",
        "Each address may be told once, and there may be ten: change or delete the other one.",
    ),
    "payload_too_large": Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large", "Send a smaller body."),
    "unsupported_media_type": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Only JSON in UTF-8 is read",
        "Send Content-Type: application/json.",
    ),
    "idempotency_key_reused": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This key belongs to another request",
        "Send a new request under a new key; a retry must be the same request.",
    ),
    "forged_receipt": Kind(
        HTTPStatus.FORBIDDEN,
        "The delivery report is not the provider's",
        "Set PUBLIC_URL to the address that the provider is told, and the auth token to the account's own.",
    ),
    "throttled": Kind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many requests",
        "Send again after Retry-After seconds, with the same key.",
    ),
    "internal_error": Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "This is our fault",
        "Retry with the same key; report the correlation id if it persists.",
    ),
    "unavailable": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The service cannot answer for now",
        "Retry with the same key after Retry-After seconds: a repeated request is never sent twice.",
    ),
}
