"""Backend by case: what became of each case of the contract, of one run of the tests.

A case is a test of tests/contract/test_contract.py, or a row of a backend's table (tests/contract/test_rows.py).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

_CASE: Final = re.compile(r".*tests/contract/test_(contract|rows)\.py::test_(?P<test>\w+)\[(?P<parameters>.*)\]")
_ROW: Final = "a_row_of_the_table_is_what_comes_of_it"
_NO_SUCH_ROW: Final = "·"


class ContractTable:
    """A plugin of pytest."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._results: dict[str, dict[str, str]] = {}  # by case, then backend
        self._reasons: Counter[str] = Counter()  # of what was skipped

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = _CASE.fullmatch(report.nodeid)
        if found is None or (report.when != "call" and report.passed):
            return
        backend, _, parameter = found["parameters"].partition("-")
        case = f"row {parameter}" if found["test"] == _ROW else found["test"].replace("_", " ")
        if parameter and found["test"] != _ROW:
            case = f"{case}: {parameter}"
        word = {"passed": "pass", "skipped": "skip"}.get(report.outcome, "FAIL")
        of_case = self._results.setdefault(case, {})
        if of_case.get(backend) != "FAIL":
            of_case[backend] = word
        if isinstance(report.longrepr, tuple):
            self._reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        text = self._text()
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text(text)
        terminalreporter.section("the contract: backend by case")
        terminalreporter.write(text)

    def _text(self) -> str:
        backends = list(dict.fromkeys(backend for of_case in self._results.values() for backend in of_case))
        rows = [["", *backends]]
        cases = sorted(self._results, key=lambda case: case.startswith("row "))
        rows += [[case, *(self._results[case].get(each, _NO_SUCH_ROW) for each in backends)] for case in cases]
        counts = Counter(word for got in self._results.values() for word in got.values())
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(backends) + 1)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        total = ", ".join(f"{counts[word]} {word}" for word in ("pass", "skip", "FAIL"))
        reasons = [f"{count} skipped: {reason}" for reason, count in self._reasons.most_common()]
        summary = f"{len(cases)} cases with {len(backends)} backends: {total}"
        return "\n".join([*lines, "", *reasons, summary, ""])
