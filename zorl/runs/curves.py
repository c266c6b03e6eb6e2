"""Learning curves: rows of figures, one per validation, kept as a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path

from zorl.common.errors import FileFormatError
from zorl.common.storage import write_atomically

Row = dict[str, float]


def write_curve(path: str | Path, rows: list[Row]) -> None:
    """Write the rows, all with the same keys, atomically."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def read_curve(path: str | Path) -> list[Row]:
    """The rows of a curve; none if there is no file.

    Raises:
        FileFormatError: the file is not a table of numbers.
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise FileFormatError(f"{path}: not a learning curve ({error})") from error


def _number(text: str) -> float:
    """A whole number stays one, so that a curve that is read and written again does not change."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def score(row: Row) -> float:
    """What policies are chosen by: the mean native return, −∞ where that is not finite."""
    value = row["native_return"]
    return value if math.isfinite(value) else -math.inf


def best_row(rows: Iterable[Row]) -> Row | None:
    """The row with the highest score, the last of several; None of no rows."""
    return max(reversed(list(rows)), key=score, default=None)


def first_reaching(rows: Iterable[Row], column: str, threshold: float) -> Row | None:
    """The first row whose `column` is at least `threshold`."""
    return next((row for row in rows if row[column] >= threshold), None)
