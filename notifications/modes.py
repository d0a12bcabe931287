"""Live and test: a notification is what the key was that it was accepted by, for good, and its lane says so."""

from __future__ import annotations

from django.db.models import Q

from channels.registry import MARK


def in_mode(*, test: bool) -> Q:
    """The notifications that keys of this mode see and change; a condition on `lane`."""
    marked = Q(lane__startswith=MARK)
    return marked if test else ~marked


def operation(name: str, *, test: bool) -> str:
    """What a key is remembered for (method and path, say): a test never takes the place of a live request's key."""
    return f"test {name}" if test else name


def owner(client_id: int, *, test: bool) -> int:
    """In whose list it is: the client's, or under the negative of its id that of the client's tests."""
    return -client_id if test else client_id
