"""Writes .env from .env.example, with fresh secrets; one that is there already is left as it is.

Standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
# Made up here, because nobody else has to know them; each stands blank in .env.example.
MADE_UP = ("SECRET_KEY", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD")


def filled(example: str) -> str:
    """The example's text with a secret of its own (letters, digits, - and _) after each name of MADE_UP.

    Raises: ValueError where the example lacks one of them.
    """
    for name in MADE_UP:
        secret = secrets.token_urlsafe(48)
        example, found = re.subn(rf"(?m)^{name}=$", f"{name}={secret}", example)
        if found != 1:
            raise ValueError(f".env.example must have one line '{name}=', not {found}.")
    return example


def main() -> None:
    path = BASE_DIR / ".env"
    text = filled((BASE_DIR / ".env.example").read_text(encoding="utf-8"))
    try:
        # For its owner's eyes alone, from the first byte.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stdout.write(".env is there already: left as it is.\n")
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.write(".env is written, with fresh secrets.\n")


if __name__ == "__main__":
    main()
