"""What our migrations break of the rules of linting.py, and why it is right there.

All of these are released, and nothing of them can be changed. A new one stands here only with a reason; one that
contracts names the release in which its last reader went.
"""

from __future__ import annotations

from typing import Final

A_FEW = "a number that stays far below what the type holds, in a table that is made here"
STATED: Final[dict[str, dict[str, str]]] = {
    "0001_initial": {
        "prefer-bigint-over-int": f"{A_FEW}: of attempts, tries, rows of one purge, a process id",
        "prefer-bigint-over-smallint": f"{A_FEW}: priorities, tries, losses, an HTTP status, a receipt's rank",
        "prefer-text-field": "names of clients and of keys, and a key's prefix: to widen one rewrites nothing",
    },
    "0003_ready_by_client": {
        "require-concurrent-index-deletion": "of what is pending alone; made anew in the same transaction",
        "require-concurrent-index-creation": "over a million finished rows accepts waited for 0.25 s",
    },
    "0004_scopes_and_limits": {
        "ban-drop-default": "api_key is written by operators alone: the old admin cannot make keys meanwhile",
        "column-with-a-check": "client has as many rows as there are clients",
        "prefer-bigint-over-int": f"{A_FEW}: notifications a minute",
    },
    "0005_listing": {
        "rows-copied-at-once": "lists of what was there: accepts go on, and what the old web accepts after the copy's "
        "snapshot is in no list until `check_outbox --repair` puts it there",
    },
    "0006_test_keys": {
        "ban-drop-default": "api_key is written by operators alone: the old admin cannot make keys meanwhile",
    },
    "0008_sql_accept": {
        "cannot-be-written-as-sql": "it replaces functions, which locks no table",
        "prefer-bigint-over-int": f"{A_FEW}: limits of lengths",
        "prefer-bigint-over-smallint": f"{A_FEW}: places of channels",
    },
    "0012_suppression": {
        "cannot-be-written-as-sql": "it replaces functions, which locks no table",
    },
    "0013_templates": {
        "prefer-bigint-over-int": f"{A_FEW}: versions of one template",
        "prefer-text-field": "names of templates, in a table that is made here: to widen one rewrites nothing",
    },
}
