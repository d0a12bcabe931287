from __future__ import annotations

from typing import Any

import pytest

EACH = 10  # of every step that a process dies at


def seeds() -> list[Any]:
    """Ten seeds, of which the first runs without --run-slow."""
    return [seed if seed == 0 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(EACH)]
