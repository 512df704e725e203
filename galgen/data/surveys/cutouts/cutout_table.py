"""The table of galaxies that is joined to their cutouts, by their names or row by row."""

import re
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from galgen.config.wording import counted, quoted
from galgen.data.stamp_file import known_redshifts
from galgen.data.surveys.columns import NAMES, choose, degrees, listed, numbers, redshifts
from galgen.data.surveys.identifiers import identifiers
from galgen.data.surveys.tables import plain, read_table
from galgen.errors import GalgenError

KEY = "cutouts.columns"
WANTED = ("id", "redshift", "magnitude", "flux_radius", "ra", "dec")
"""Columns that a table may have."""
FAINTEST = 50.0
"""Numbers beyond it are a catalogue's marks of unknown magnitudes."""


def read_columns(
    path: str | Path,
    columns: dict,
    names: list[str],
    bands: list[str],
    pixel_scale: float | None,
    by_row: bool,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read what a table says of some galaxies.

    Args:
        path: FITS, ECSV, CSV, VOTable or Parquet file.
        columns: names of its columns of WANTED, where galgen cannot infer them; of `magnitude` for
            each band, or for the first alone.
        names: of the galaxies, (N,).
        bands: names of the bands, (B,).
        pixel_scale: arcsec, where known.
        by_row: whether the galaxies are its rows, in order.

    Returns:
        Columns (N,): `redshift`, `flux_radius` (arcsec), `ra` and `dec` (deg), `magnitude` (N, B),
        as far as the table has them, NaN where unknown; of a table joined by row, `id` too (text).
        Then sentences for the user.

    Raises:
        GalgenError: if the table cannot be read or joined, or a column is ambiguous.
    """
    table = read_table(path, lambda _: True, "cutouts.table")
    given = {what: None if isinstance(name, dict) else name for what, name in columns.items()}
    wanted = [what for what in WANTED if what != "magnitude"]
    chosen = {what: choose(table.columns, what, given.get(what), path, KEY) for what in wanted}
    notes: list[str] = []
    if by_row:
        rows = _by_row(path, table, names)
        notes.append(f"{Path(path).name} is joined row by row, it has as many rows as galaxies")
    else:
        rows = _by_name(path, table, names, chosen["id"], notes)
    there = rows >= 0
    if not there.all():
        lacking = listed(np.array(names)[~there], 5)
        notes.append(
            f"{(~there).sum()} of {len(names)} galaxies are not in {Path(path).name}, and what it "
            f"says is unknown of them: {lacking}"
        )
    magnitudes, said = _magnitude_columns(table, columns.get("magnitude"), bands, path)
    notes += said
    used = [f"{what} from {name}" for what, name in chosen.items() if name]
    used += [f"magnitude in {band} from {name}" for band, name in magnitudes.items() if name]
    notes.append(f"columns of {Path(path).name}: {', '.join(used) or 'none is known'}")

    def joined(values: np.ndarray) -> np.ndarray:
        return np.where(there, values[rows], np.nan)

    found: dict[str, np.ndarray] = {}
    cells = {what: plain(table[name]) for what, name in chosen.items() if name}
    if by_row and "id" in cells:
        found["id"] = _texts(cells["id"], path)
    if "redshift" in cells:
        values = known_redshifts(redshifts(cells["redshift"], path, KEY))
        found["redshift"] = joined(values).astype(np.float32)
    if "ra" in cells and "dec" in cells:
        found |= {what: joined(degrees(cells[what], what, path, KEY)) for what in ("ra", "dec")}
    if "flux_radius" in cells:
        values, said = _radii(cells["flux_radius"], path, pixel_scale)
        found["flux_radius"] = joined(values)
        notes.append(said)
    if any(magnitudes.values()):
        each = [
            np.full(len(table), np.nan)
            if name is None
            else numbers(plain(table[name]), "magnitude", path, KEY)
            for name in magnitudes.values()
        ]
        each = [np.where(np.abs(values) < FAINTEST, values, np.nan) for values in each]
        found["magnitude"] = np.stack([joined(values) for values in each], axis=1)
    return found, notes


def plain_names(names: list[str]) -> list[str]:
    """Remove leading zeros of names that are numbers, where all stay distinct."""
    shorter = [re.sub(r"^0+(?=\d+$)", "", name) for name in names]
    return shorter if len(set(shorter)) == len(set(names)) else names


def _by_row(path: str | Path, table: Table, names: list[str]) -> np.ndarray:
    if len(table) != len(names):
        raise GalgenError(
            f"cutouts.table={path}: it has {len(table)} rows, and there are {len(names)} cutouts "
            "in the array, so that galgen cannot join them row by row. Give the id of each cutout, "
            f"cutouts.ids={quoted('<file>[<array>]')}, or a table with a row for each."
        )
    return np.arange(len(names))


def _by_name(
    path: str | Path, table: Table, names: list[str], column: str | None, notes: list[str]
) -> np.ndarray:
    """Return the row of each galaxy, (N,), -1 where the table lacks it."""
    if column is None:
        raise GalgenError(
            f"cutouts.table={path}: no column has a name of identifiers. Give "
            f"cutouts.columns.id=<name>{_offer(table, names)}."
        )
    ids = plain_names(list(_texts(plain(table[column]), path)))
    row_of: dict[str, int] = {}
    wanted, twice = set(plain_names(names)), []
    for row, name in enumerate(ids):
        if name in row_of and name in wanted:
            twice.append(name)
        row_of.setdefault(name, row)
    if twice:
        raise GalgenError(
            f"cutouts.table={path}: {counted(len(twice), 'row repeats', 'rows repeat')} the "
            f"{column} of another row, such as {twice[0]}, and galgen cannot tell which is the "
            "cutout's. Keep one of each."
        )
    rows = np.array([row_of.get(name, -1) for name in plain_names(names)])
    if (rows < 0).all():
        raise GalgenError(
            f"cutouts.table={path}: none of the {len(names)} galaxies, such as {names[0]}, is in "
            f"its column {column}, which has values such as {ids[0]}. Write {{id}} in the pattern "
            "where the name stands, or give another column, cutouts.columns.id=<name>"
            f"{_offer(table, names, column)}."
        )
    others = len(table) - int((rows >= 0).sum())
    if others:
        of_table = f"of {Path(path).name}"
        words = f"row {of_table} has no cutout", f"rows {of_table} have no cutout"
        notes.append(counted(others, *words))
    return rows


def _offer(table: Table, names: list[str], tried: str | None = None) -> str:
    """Name the columns that hold names of galaxies, else those that are called alike, else all."""
    left = [name for name in table.colnames if name != tried]
    wanted, holding = set(plain_names(names)), {}
    for name in left:
        column = plain(table[name])
        if column.ndim == 1 and column.dtype.kind in "iuSU":
            texts = plain_names([str(value).strip() for value in np.ma.getdata(column)])
            count = len(wanted & set(texts))
            if count:
                holding[name] = count
    if holding:
        best = max(holding, key=holding.get)
        return f", such as {best}, which has {holding[best]} of the {len(names)} names"
    alike = [n for n in left if re.search(r"id|name|num|obj|src|source", n.lower())]
    if alike:
        return f", such as {', '.join(alike)}"
    return f", one of {', '.join(left)}" if left else ""


def _texts(column: Column, path: str | Path) -> np.ndarray:
    """Return identifiers as text (N,), every digit of them."""
    integers, texts = identifiers(column, path, [], KEY)
    return integers.astype(str) if texts is None else np.char.decode(texts)


def _magnitude_columns(
    table: Table, given: str | dict[str, str] | None, bands: list[str], path: str | Path
) -> tuple[dict[str, str | None], list[str]]:
    """Choose the column of magnitudes of each band, None for a band without one; and notes."""
    key = f"{KEY}.magnitude"
    if given is not None:
        by_band = given if isinstance(given, dict) else {bands[0]: given}
        unknown = [band for band in by_band if band not in bands]
        if unknown:
            raise GalgenError(
                f"{key}.{unknown[0]}: there is no such band. Give some of {', '.join(bands)}."
            )
        for name in by_band.values():
            choose(table.columns, "magnitude", name, path, KEY)
        return {band: by_band.get(band) for band in bands}, []
    lower = {name.lower(): name for name in table.colnames}
    spellings = "mag_{0} {0}_mag mag{0} magnitude_{0} {0}_magnitude {0}"
    tried = {band: spellings.format(band.lower()).split() for band in bands}
    found = {
        band: next((lower[name] for name in names if name in lower), None)
        for band, names in tried.items()
    }
    if any(found.values()):
        return found, []
    if len(bands) == 1:
        return {bands[0]: choose(table.columns, "magnitude", None, path, KEY)}, []
    general = [name for name in table.colnames if name.lower() in NAMES["magnitude"].split()]
    if not general:
        return dict.fromkeys(bands), []
    said = (
        f"column {general[0]} of {Path(path).name} does not say its band, and is not used; "
        f"{key}={general[0]} takes it for {bands[0]}"
    )
    return dict.fromkeys(bands), [said]


def _radii(column: Column, path: str | Path, pixel_scale: float | None) -> tuple[np.ndarray, str]:
    """Return half-light radii in arcsec, and a note that names the unit of the column."""
    radii = numbers(column, "flux_radius", path, KEY)
    radii = np.where(radii > 0, radii, np.nan)
    unit = column.unit
    if unit is not None and u.Unit(unit).is_equivalent(u.arcsec):
        return radii * u.Unit(unit).to(u.arcsec), f"{column.name} is in {unit}"
    if unit is not None and u.Unit(unit) in (u.pix, u.pixel) and pixel_scale is not None:
        return radii * pixel_scale, f"{column.name} is in pixels, of {pixel_scale:.4g} arcsec"
    if unit is not None:
        return np.full(len(radii), np.nan), (
            f"{column.name} is in {unit}, which galgen cannot bring to arcsec: sizes are unknown"
        )
    return radii, (
        f"{column.name} has no unit and is taken for arcsec, typically {np.nanmedian(radii):.3g}; "
        "if it is in pixels, say so in the table (unit pix)"
    )
