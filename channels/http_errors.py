"""What an answer over HTTP means where its provider has not said: the table beneath those of all that send by HTTP."""

from __future__ import annotations

from datetime import timedelta

from channels.contract import Refused
from channels.errors import Kind, Meaning, Table
from channels.failure import FAILURES

ANY_OTHER = "any other"  # the code of a row for what has none
_SEMANTICS = "https://www.rfc-editor.org/rfc/rfc9110"

HTTP = Table(
    Meaning("401", Kind.CONFIGURATION, "our credentials are refused", f"{_SEMANTICS}#section-15.5.2"),
    Meaning("403", Kind.CONFIGURATION, "our credentials do not allow it", f"{_SEMANTICS}#section-15.5.4"),
    Meaning("404", Kind.CONFIGURATION, "nothing of the provider's is at this address", f"{_SEMANTICS}#section-15.5.5"),
    Meaning(
        "407", Kind.CONFIGURATION, "something before the provider asks for credentials", f"{_SEMANTICS}#section-15.5.8"
    ),
    Meaning("408", Kind.TRANSIENT, "the provider gave up waiting for the request", f"{_SEMANTICS}#section-15.5.9"),
    Meaning(
        "429",
        Kind.RATE_LIMITED,
        "too many requests",
        "https://www.rfc-editor.org/rfc/rfc6585#section-4",
        patience=timedelta(seconds=30),
    ),
    # From something between us and the provider, which may have passed the message on.
    Meaning("2xx", Kind.UNKNOWN, "a success that is not in the provider's own form", f"{_SEMANTICS}#section-15.3"),
    Meaning(
        "3xx",
        Kind.CONFIGURATION,
        "the provider's address redirects; redirects are not followed",
        f"{_SEMANTICS}#section-15.4",
    ),
    Meaning("4xx", Kind.PERMANENT, "this request is refused", f"{_SEMANTICS}#section-15.5", refuses=Refused.MESSAGE),
    Meaning("5xx", Kind.UNKNOWN, "the provider failed, and may have done it", f"{_SEMANTICS}#section-15.6"),
    Meaning(ANY_OTHER, Kind.UNKNOWN, "a status that HTTP does not know", f"{_SEMANTICS}#section-15"),
    beneath=FAILURES,
)
