"""A comparison of runs as CSV, as Markdown and on the terminal."""

import csv
import io
import re
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from galgen.reports.comparison import Comparison
from galgen.reports.facts import text

NAMING = ("run", "prior")
"""Columns that identify a row."""
GAP = 2
"""Characters between columns on the terminal."""


def as_csv(comparison: Comparison) -> str:
    """Write a table as CSV, with all digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, comparison.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(comparison.rows)
    return file.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """Write a table as Markdown, the best of a column bold, with its notes."""
    lines = [comparison.columns, ["---"] * len(comparison.columns)]
    for number, row in enumerate(comparison.rows):
        cells = {column: text(row.get(column)) for column in comparison.columns}
        cells |= {column: f"**{cells[column]}**" for n, column in comparison.best if n == number}
        lines.append(list(cells.values()))
    escaped = [" | ".join(cell.replace("|", r"\|") for cell in line) for line in lines]
    table = "\n".join(f"| {line} |" for line in escaped)
    return "\n\n".join([table, *comparison.notes]) + "\n"


def show(comparison: Comparison) -> None:
    """Print a table; values that all rows share are printed below it.

    Args:
        comparison: the table. What a terminal is too narrow for follows below; a file or a pipe is
            as wide as need be.
    """
    console, rows = Console(highlight=False, soft_wrap=True), comparison.rows
    cells = {column: [text(row.get(column)) for row in rows] for column in comparison.columns}
    same = {c: values[0] for c, values in cells.items() if len(rows) > 1 and len({*values}) == 1}
    headers = {c: re.sub("[_/ ]+", "\n", c) for c in cells if c not in same}
    widths = {
        column: GAP + max(map(len, [*header.split("\n"), *cells[column]]))
        for column, header in headers.items()
    }
    if not console.is_terminal:
        console.width = max(console.width, sum(widths.values()))
    for block in _blocks(widths, console.width):
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
        for column in block:
            is_number = any(isinstance(row.get(column), int | float) for row in rows)
            justify = "right" if is_number else "left"
            table.add_column(Text(headers[column]), justify=justify, no_wrap=True)
        for number in range(len(rows)):
            best = ["bold green" if (number, c) in comparison.best else "" for c in block]
            shown = [Text(cells[c][number], style) for c, style in zip(block, best, strict=True)]
            table.add_row(*shown)
        console.print(table, soft_wrap=False)
        console.print()
    if shared := ", ".join(f"{column} {value}" for column, value in same.items() if value):
        console.print(Text(f"The same in all: {shared}."))
    for note in comparison.notes:
        console.print(Text(note))


def _blocks(widths: dict[str, int], limit: int) -> Iterator[list[str]]:
    """Divide columns into blocks that fit a line, each beginning with what names the rows."""
    naming = [column for column in NAMING if column in widths]
    block = list(naming)
    for column in widths:
        if column in naming:
            continue
        if len(block) > len(naming) and sum(widths[c] for c in [*block, column]) > limit:
            yield block
            block = list(naming)
        block.append(column)
    yield block
