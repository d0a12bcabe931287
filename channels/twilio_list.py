"""What Twilio has taken of late, by the list of its Messages API: for a send whose answer never came.

https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance

# Read are the newest messages to a recipient, and not those since a date: Twilio filters by `DateSent` alone, and one
# that is still queued has none. Two pages: more than are sent to anybody while a doubt is fresh.
PAGE: Final = 100
PAGES: Final = 2
PAGE_TIMEOUT: Final = timedelta(seconds=5)  # both pages and a send take less than a worker has to end in
PAGE_LIMIT: Final = 2 * 1024 * 1024  # bytes; each message has up to 1,600 characters, of up to 12 bytes in JSON


class Sent(NamedTuple):
    """What to look for. The sender is a number, or a messaging service, which picks numbers of its own."""

    to: str
    body: str
    from_number: str
    messaging_service_sid: str
    since: datetime  # aware


def find(client: Client, sent: Sent) -> Iterator[MessageInstance]:
    """Those of the newest messages that are like it. Raises: as the client."""
    return (message for message in _newest(client, sent) if _is_like(message, sent))


def _newest(client: Client, sent: Sent) -> Iterator[MessageInstance]:
    sender = {"from_": sent.from_number} if sent.from_number else {}
    page = client.messages.page(to=sent.to, page_size=PAGE, **sender)
    for number in range(1, PAGES + 1):
        listed = list(page)
        young = [each for each in listed if isinstance(each.date_created, datetime) and each.date_created >= sent.since]
        yield from young
        if number == PAGES or len(young) < len(listed) or (page := page.next_page()) is None:
            return


def _is_like(message: MessageInstance, sent: Sent) -> bool:
    # The filters are asked for, and not trusted: what is taken for a message keeps it from being sent.
    if sent.from_number:
        by_us = message.from_ == sent.from_number
    else:
        by_us = message.messaging_service_sid == sent.messaging_service_sid
    same_text = str(message.body or "").strip(string.whitespace) == sent.body.strip(string.whitespace)
    return bool(by_us and same_text and message.to == sent.to and message.direction == "outbound-api")
