"""A notification's content as it is stored with it: the fields as they are, of each file its digest and not its bytes.

`{"fields": {…}, "files": [{"name": …, "content_type": …, "size": …, "digest": …}]}`; nothing at all where it has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from channels.contract import NOTHING_MORE, Content, File

Kept = Mapping[str, Any]
Octets = Mapping[bytes, bytes]  # of files, by digest


def kept(content: Content) -> tuple[Kept | None, Sequence[tuple[bytes, bytes]]]:
    """What is stored with the notification, and the files, each with its digest."""
    if not (content.fields or content.files):
        return None, ()
    files = [(hashlib.sha256(file.octets).digest(), file.octets) for file in content.files]
    named = [
        {"name": file.name, "content_type": file.content_type, "size": len(file.octets), "digest": digest.hex()}
        for file, (digest, _) in zip(content.files, files, strict=True)
    ]
    return {"fields": dict(content.fields), "files": named}, files


def read(written: str | None) -> Kept | None:
    """From JSON, as the database gives it. Raises: TypeError where it is nothing of ours."""
    stored = json.loads(written) if written else None
    if not isinstance(stored, dict | None):
        raise TypeError("this is no content")
    return stored


def digests(stored: Kept | None) -> list[bytes]:
    """Of its files."""
    return [bytes.fromhex(file["digest"]) for file in stored["files"]] if stored else []


def names(written: str | None) -> frozenset[str]:
    """Of what it has, as its channel calls it (`html`, `attachments`), from JSON. Raises nothing: what is not ours has
    one name, which no backend carries.
    """
    try:
        stored = read(written)
        return frozenset({*stored["fields"], *(["attachments"] if stored["files"] else [])}) if stored else frozenset()
    except (KeyError, TypeError, ValueError):
        return frozenset({""})


def restored(stored: Kept | None, octets: Octets) -> Content:
    """As its channel has accepted it. Raises: KeyError where a file is not among `octets`."""
    if not stored:
        return NOTHING_MORE
    files = [
        File(file["name"], file["content_type"], octets[bytes.fromhex(file["digest"])]) for file in stored["files"]
    ]
    return Content(stored["fields"], files)


def shown(stored: Kept | None) -> dict[str, Any]:
    """As it was asked for, but for the bytes of files: their digest and size are there instead."""
    if not stored:
        return {}
    files = [dict(file) for file in stored["files"]]
    return {**stored["fields"], **({"attachments": files} if files else {})}
