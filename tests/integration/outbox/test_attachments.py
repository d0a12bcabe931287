"""Files: stored once, and never gone while a notification has them, whoever purges at that moment."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from channels.contract import Content, File
from notifications import content as contents
from notifications.models import Attachment, AttachmentLink, Notification
from notifications.outbox.accept import insert
from notifications.outbox.attachments import UNUSED_FOR, read_files
from notifications.outbox.purge import DELETE_FILES
from notifications.outbox.statement import run

from . import rows
from .second import Second

pytestmark = pytest.mark.django_db(transaction=True)

OCTETS = b"a file\x00\xff"
DIGEST = hashlib.sha256(OCTETS).digest()


def accepted(*octets: bytes, key: str | None = None) -> UUID | None:
    """None where the key was taken."""
    files = [File(f"{number}.bin", "application/octet-stream", each) for number, each in enumerate(octets or (OCTETS,))]
    kept, stored = contents.kept(Content({}, files))
    one = rows.asked(key=key, lane="email", content=kept, files=stored)
    return one.first if one.first in insert([one]).new else None


def purged() -> int:
    """How many files went."""
    return int(run(DELETE_FILES, {"after": b"", "unused": UNUSED_FOR})[0][0])


def grow_old(by: timedelta = 2 * UNUSED_FOR) -> None:
    Attachment.objects.update(used_at=timezone.now() - by)


def unlinked_and_old() -> None:
    """A file that the next purge deletes."""
    accepted()
    AttachmentLink.objects.all().delete()
    grow_old()


def files() -> set[bytes]:
    return {bytes(digest) for digest in Attachment.objects.values_list("digest", flat=True)}


def test_a_file_is_stored_once_and_read_by_its_digest() -> None:
    accepted(OCTETS, b"another")
    accepted(OCTETS)

    assert (Attachment.objects.count(), AttachmentLink.objects.count()) == (2, 3)
    assert read_files([DIGEST, b"0" * 32]) == {DIGEST: OCTETS}


def test_one_whose_key_was_taken_stores_nothing() -> None:
    accepted(OCTETS, key="k")
    assert accepted(b"another", key="k") is None

    assert files() == {DIGEST}


def test_many_at_once_store_what_is_theirs_alone() -> None:
    accepted(key="taken")
    Attachment.objects.all().delete()
    AttachmentLink.objects.all().delete()
    asked = []
    for key, octets in (("taken", OCTETS), ("free", b"another"), ("free too", b"another")):
        kept, stored = contents.kept(Content({}, [File("a", "text/csv", octets)]))
        asked.append(rows.asked(key=key, lane="email", content=kept, files=stored))

    assert insert(asked).new == {asked[1].first, asked[2].first}

    assert files() == {hashlib.sha256(b"another").digest()}
    assert AttachmentLink.objects.count() == 2


def test_what_nothing_refers_to_goes_after_a_day() -> None:
    accepted()
    AttachmentLink.objects.all().delete()
    grow_old(UNUSED_FOR - timedelta(minutes=1))
    assert purged() == 0

    grow_old(UNUSED_FOR + timedelta(minutes=1))
    assert purged() == 1
    assert not files()


def test_what_something_refers_to_stays() -> None:
    accepted()
    grow_old()

    assert purged() == 0


def test_a_purge_passes_over_a_file_that_is_just_being_accepted(second: Second) -> None:
    unlinked_and_old()
    with transaction.atomic():
        accepted()
        assert second.run(purged) == 0

    assert files() == {DIGEST}
    assert second.run(purged) == 0


def test_an_accept_waits_for_the_purge_of_its_file_and_stores_it_again(second: Second) -> None:
    unlinked_and_old()
    with second.overtaken_by(accepted) as later:
        assert purged() == 1

    assert later.result() is not None
    assert files() == {DIGEST}
    assert bytes(Attachment.objects.get().content) == OCTETS


def test_accepts_of_one_file_wait_for_each_other_once_an_hour_at_most(second: Second) -> None:
    accepted()
    with transaction.atomic():
        accepted()
        assert second.run(accepted) is not None
    grow_old(timedelta(hours=2))
    with second.overtaken_by(accepted):
        accepted()
    assert Attachment.objects.get().used_at > timezone.now() - timedelta(minutes=1)


def test_whoever_comes_first_no_notification_is_left_without_its_file(second: Second) -> None:
    for _ in range(150):
        unlinked_and_old()
        purge = second.begin(purged)
        accepted()
        purge.result(20)
        second.run(purged)
        assert files() == {DIGEST}
        Notification.objects.all().delete()
        AttachmentLink.objects.all().delete()
