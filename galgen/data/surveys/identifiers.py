"""Identifiers of galaxies: every digit is kept, or an error says so."""

import re
from pathlib import Path

import numpy as np
from astropy.table import Column

from galgen.config.wording import counted
from galgen.errors import GalgenError

EXACT = {2: 2**11, 4: 2**24, 8: 2**53}
"""Integers below which floating-point numbers of some bytes hold each one."""


def identifiers(
    column: Column | None, path: str | Path, notes: list[str], key: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return identifiers as integers where they are, and unique; else as bytes.

    Args:
        column: of the table, (N,); None where it has none.
        path: of the table, for messages.
        notes: sentences for the user, to which those about the identifiers are added.
        key: under which the user gives names of columns, for messages.

    Returns:
        The identifiers as int64 (N,), or None; and as bytes (N,), or None.

    Raises:
        GalgenError: if they have lost digits.
    """
    if column is None:
        return None, None
    name = Path(path).name
    values = np.ma.asarray(column)
    mask = np.ma.getmaskarray(values)
    if values.ndim > 1:
        raise GalgenError(
            f"{path}: column {column.name} (id) has {values.shape[1:]} values a row. Give another "
            f"one by {key}.id=<name>."
        )
    if values.dtype.kind in "SU" and not mask.all():
        _refuse_rounded(values, column.name, path, key)
    if values.dtype.kind == "f":
        values = _integers(values, column.name, path, key)
        mask = np.ma.getmaskarray(values)
    texts = [str(value) for value in values.data]
    texts = [re.sub(r"^(\d{1,15})\.0*$", r"\1", text.strip()) for text in texts]
    texts = np.array(["" if out else text for out, text in zip(mask, texts, strict=True)], str)
    if mask.any():
        notes.append(
            counted(mask.sum(), f"row of {name} has", f"rows of {name} have")
            + f" no {column.name} (id): all are numbered, catalogue_id holds the original ones"
        )
    repeated = len(texts[~mask]) - len(np.unique(texts[~mask]))
    if repeated:
        notes.append(
            counted(repeated, f"row of {name} repeats", f"rows of {name} repeat")
            + f" the {column.name} of another row: both are kept and numbered, catalogue_id holds "
            "the original ones"
        )
    elif not mask.any() and all(re.fullmatch(r"0|-?[1-9]\d*", text) for text in texts):
        integers = [int(text) for text in texts]
        if min(integers) >= -(2**63) and max(integers) < 2**63:
            return np.array(integers, np.int64), None
    return None, np.char.encode(texts)


def _refuse_rounded(values: np.ma.MaskedArray, name: str, path: str | Path, key: str) -> None:
    """Refuse text that a program made of floats: numbers with an exponent, or large decimals."""
    texts = np.char.strip(values.data[~np.ma.getmaskarray(values)].astype(str))
    number = r"[+-]?\d+(\.\d*)?([eE][+]?\d+)?"
    floating = [text for text in texts if re.search(r"[eE]", text) or re.search(r"\d{16}\.", text)]
    if floating and all(re.fullmatch(number, text) for text in texts):
        raise GalgenError(
            f"{path}: column {name} (id) holds rounded numbers, such as {floating[0]}. Save the "
            f"identifiers as integers or text, or give another column by {key}.id=<name>."
        )


def _integers(
    values: np.ma.MaskedArray, name: str, path: str | Path, key: str
) -> np.ma.MaskedArray:
    """Return identifiers stored as floating-point numbers as integers, if they still are exact."""
    mask = np.ma.getmaskarray(values) | ~np.isfinite(values.data)
    known = values.data[~mask]
    if not (known == np.rint(known)).all():
        return np.ma.MaskedArray(values.data, mask)
    if known.size and np.abs(known).max() >= EXACT.get(values.dtype.itemsize, 2**53):
        raise GalgenError(
            f"{path}: column {name} (id) holds identifiers as floating-point numbers, too large "
            "for their last digits to be kept. Save them as integers or text, or give another "
            f"column by {key}.id=<name>."
        )
    return np.ma.MaskedArray(np.where(mask, 0, values.data).astype(np.int64), mask)
