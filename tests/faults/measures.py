"""What a campaign of kills found, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from tests.faults.checks import Findings

RECOVERY = 5.0  # seconds, the goal


@dataclass
class Measures:
    kills: int = 0
    of_workers: int = 0
    blackouts: int = 0  # kills that took all workers
    recoveries: list[float] = field(default_factory=list)  # seconds, where another worker lived on
    after_blackouts: list[float] = field(default_factory=list)  # seconds since the first worker was back
    unrecovered: int = 0
    held: int = 0  # text messages of unknown outcome, sent again by an operator
    clean_stops: int = 0
    slowest_stop: float = 0.0  # seconds
    doubled_by_stops: int = 0
    found: Findings | None = None

    def table(self) -> list[str]:
        """Lines to be printed."""
        assert self.found is not None
        unmarked = len(self.found.unmarked)
        rows = [
            ("", "ours", "goal"),
            ("random kills under load", f"{self.kills:,}", ""),
            ("  of a worker", f"{self.of_workers:,}", ""),
            ("  of all workers at once", f"{self.blackouts:,}", ""),
            ("notifications accepted", f"{self.found.acknowledged:,}", ""),
            ("recoveries of a killed worker's claims", f"{len(self.recoveries):,}", ""),
            ("  median", _seconds(median, self.recoveries), f"≤ {RECOVERY:g} s"),
            ("  longest", _seconds(max, self.recoveries), f"≤ {RECOVERY:g} s"),
            (
                "  longest since the first was back, all killed",
                _seconds(max, self.after_blackouts),
                f"≤ {RECOVERY:g} s",
            ),
            ("claims never recovered", f"{self.unrecovered:,}", "0"),
            ("lost", f"{len(self.found.lost):,}", "0"),
            ("unmarked duplicates", f"{unmarked:,}", "0"),
            ("marked duplicates", f"{len(self.found.doubled) - unmarked:,}", ""),
            ("held as unknown, and sent again by an operator", f"{self.held:,}", ""),
            ("clean stops by SIGTERM under load", f"{self.clean_stops:,}", ""),
            ("  duplicates", f"{self.doubled_by_stops:,}", "0"),
            ("  longest", f"{self.slowest_stop:.1f} s", ""),
        ]
        name, ours = (max(len(row[column]) for row in rows) for column in (0, 1))
        return [f"{row[0]:<{name}}  {row[1]:>{ours}}  {row[2]}".rstrip() for row in rows]


def _seconds(of: object, times: list[float]) -> str:
    return f"{of(times):.2f} s" if times else "-"  # type: ignore[operator]
