"""Print how much of each package the tests executed: Python from `.coverage`, Java from JaCoCo's table.

    python tools/coverage.py        (make coverage; make test COVERAGE=yes)

Only what runs in the test processes and in Java's unit tests is measured: not commands, Airflow processes and containers that a
test starts, nor ApplicationMasters on the embedded cluster. So the numbers show where no test goes at all; they are no goal.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JAVA = ROOT / "java" / "target" / "site" / "jacoco" / "jacoco.csv"
PYTHON = ROOT / ".coverage"


def of_python(file: Path) -> tuple[Counter[str], Counter[str]]:
    """(executed, all) statements by folder of the package."""
    import coverage

    measured = coverage.Coverage(data_file=str(file))
    measured.load()
    done, total = Counter[str](), Counter[str]()
    for path in measured.get_data().measured_files():
        _, statements, _, missing, _ = measured.analysis2(path)
        parts = Path(path).relative_to(ROOT).parts
        name = ".".join(parts[: min(2, len(parts) - 1)])
        total[name] += len(statements)
        done[name] += len(statements) - len(missing)
    return done, total


def of_java(file: Path) -> tuple[Counter[str], Counter[str]]:
    """(executed, all) lines by Java package."""
    done, total = Counter[str](), Counter[str]()
    with file.open() as lines:
        for row in csv.DictReader(lines):
            done[row["PACKAGE"]] += int(row["LINE_COVERED"])
            total[row["PACKAGE"]] += int(row["LINE_COVERED"]) + int(row["LINE_MISSED"])
    return done, total


def table(title: str, done: Counter[str], total: Counter[str]) -> str:
    """For people: a row per package, the sum last."""
    rows = [(name, done[name], total[name]) for name in sorted(total) if total[name]]
    rows.append((title, done.total(), total.total()))
    width = max(len(name) for name, *_ in rows)
    return "\n".join(
        f"{name:{width}}  {part:6} of {whole:6}  {part / max(whole, 1):4.0%}" for name, part, whole in rows
    )


def main() -> int:
    """Print both tables; 1 when nothing was measured."""
    found = [
        (title, read, file)
        for title, read, file in (("Python", of_python, PYTHON), ("Java", of_java, JAVA))
        if file.exists()
    ]
    for title, read, file in found:
        print(table(title, *read(file)), end="\n\n")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
