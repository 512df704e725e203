"""Columns of a table of galaxies: found by their names, and their values in known units."""

import re
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle
from astropy.table import Column, TableColumns

from galgen.config.targets import did_you_mean
from galgen.errors import GalgenError

NAMES = {
    "ra": "ra raj2000 ra_j2000 _raj2000 alpha_j2000 alphawin_j2000 alphapeak_j2000 ra_icrs ra_deg "
    "radeg right_ascension alpha x_world coord_ra racen sky_centroid.ra",
    "dec": "dec de dej2000 dec_j2000 _dej2000 delta_j2000 deltawin_j2000 deltapeak_j2000 de_icrs "
    "dec_deg decdeg dedeg declination delta y_world coord_dec deccen sky_centroid.dec",
    "redshift": "redshift|z_best|zbest z zspec|z_spec|specz|spec_z|zphot|z_phot|photoz|photo_z|"
    "photz|phot_z|z_peak|zpeak|lp_zbest|ez_z_phot",
    "id": "id number ident objid obj_id object_id objectid source_id galaxy_id name "
    "coadd_object_id specobjid targetid label segid",
    "magnitude": "mag magnitude mag_ab mag_auto mag_total",
    "flux_radius": "flux_radius r50|re|r_e|hlr half_light_radius|reff|r_eff size",
}
"""Names of columns in lower case, the best first; none is better than another joined by a bar."""
UCDS = {"ra": "pos.eq.ra", "dec": "pos.eq.dec", "redshift": "src.redshift"}
SPELLINGS = {
    u.deg: "none deg degs degree degrees",
    u.hourangle: "h hr hrs hour hours hourangle",
    u.rad: "rad rads radian radians",
    u.arcmin: "arcmin arcmins arcminute arcminutes",
    u.arcsec: "arcsec arcsecs arcsecond arcseconds asec",
    u.mas: "mas milliarcsec",
}
UNITS = {spelling: unit for unit, words in SPELLINGS.items() for spelling in words.split()}
"""Units of coordinates in lower case, astropy takes some of them for others."""


def choose(
    columns: TableColumns, what: str, given: str | None, path: str | Path, key: str
) -> str | None:
    """Find the column of a quantity: as given, by name, or by UCD; None if it is missing.

    Args:
        columns: of the table.
        what: one of NAMES.
        given: name of the column, where the user gives it.
        path: of the table, for messages.
        key: under which the user gives names of columns, for messages.

    Raises:
        GalgenError: if there is no such column, or if several could be meant.
    """
    if given is not None:
        if given not in columns:
            raise GalgenError(
                f"{key}.{what}={given}: {path} has no such column"
                f"{did_you_mean(given, columns) or '.'} Give one of {', '.join(columns)}."
            )
        return given
    ranks = [rank.split("|") for rank in NAMES[what].split()]
    groups = [[name for name in columns if name.lower() in rank] for rank in ranks]
    if {"r", "i"} <= {name.lower() for name in columns}:  # then z is a magnitude
        groups = [[name for name in group if name.lower() != "z"] for group in groups]
    if what in UCDS:
        ucds = {name: str(columns[name].meta.get("ucd", "")).lower() for name in columns}
        fitting = [name for name in ucds if ucds[name].split(";")[0].startswith(UCDS[what])]
        groups += [[name for name in fitting if "meta.main" in ucds[name]], fitting]
    found = next((group for group in groups if group), [])
    if len(found) > 1:
        raise GalgenError(
            f"{path}: {', '.join(found)} could each be the {what}. Give {key}.{what}=<one of them>."
        )
    return found[0] if found else None


def listed(names: np.ndarray, longest: int = 10) -> str:
    """List names, text or bytes (N,), or the first few of them."""
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names[:longest]]
    return ", ".join(texts) + (", ..." if len(names) > longest else "")


def floats(column: Column) -> np.ndarray:
    """Return a column as float64, NaN where it is masked.

    Raises:
        ValueError: if a cell does not hold a number.
    """
    values = np.ma.asarray(column)
    numbers = np.full(values.shape, np.nan)
    known = ~np.ma.getmaskarray(values)
    try:
        numbers[known] = values.data[known].astype(float)
    except ValueError:
        for text in values.data[known].astype(str):
            float(str(text))  # names it in its error
        raise
    return numbers


def numbers(column: Column, what: str, path: str | Path, key: str) -> np.ndarray:
    """Return a column as numbers, (N,), NaN where it is masked.

    Args:
        column: of the table.
        what: the quantity, one of NAMES.
        path: of the table, for messages.
        key: under which the user gives names of columns, for messages.

    Raises:
        GalgenError: if a cell does not hold one number.
    """
    try:
        values = floats(column)
    except (TypeError, ValueError) as error:
        raise GalgenError(
            f"{path}: column {column.name} ({what}) does not hold numbers ({error}). Give another "
            f"one by {key}.{what}=<name>."
        ) from error
    if values.ndim != 1:
        raise GalgenError(
            f"{path}: column {column.name} ({what}) has {values.shape[1:]} values a row. Give "
            f"another one by {key}.{what}=<name>."
        )
    return values


def redshifts(column: Column, path: str | Path, key: str) -> np.ndarray:
    """Return redshifts as numbers, (N,), NaN where a cell has none.

    Args:
        column: of the table.
        path: of the table, for messages.
        key: under which the user gives names of columns, for messages.

    Raises:
        GalgenError: if they are velocities, or `numbers` refuses them.
    """
    unit = str(column.unit or "").strip()
    if unit and isinstance(column.unit, u.UnitBase) and column.unit.is_equivalent(u.m / u.s):
        raise GalgenError(
            f"{path}: column {column.name} (redshift) holds velocities in {unit}. Give another "
            f"one by {key}.redshift=<name>."
        )
    return numbers(column, "redshift", path, key)


def degrees(column: Column, what: str, path: str | Path, key: str) -> np.ndarray:
    """Return a coordinate in degrees, from numbers or sexagesimal strings in any unit; or NaN.

    Args:
        column: of the table.
        what: `ra` or `dec`.
        path: of the table, for messages.
        key: under which the user gives names of columns, for messages.

    Raises:
        GalgenError: if it does not hold angles.
    """
    spelled = str(column.unit).strip().lower().rstrip(".")
    unit = UNITS.get(spelled.split()[0] if spelled.split() else "none", column.unit)
    try:
        try:
            angles = u.Quantity(floats(column), unit).to_value(u.deg)
        except ValueError:
            angles = _sexagesimal(column, what, unit)
    except (TypeError, ValueError) as error:
        raise GalgenError(
            f"{path}: column {column.name} ({what}, unit {column.unit}) does not hold angles. Give "
            f"its unit in the table, or another column by {key}.{what}=<name> ({error})."
        ) from error
    low, high = (-180, 360) if what == "ra" else (-90, 90)
    finite = np.isfinite(angles)
    valid = finite & (angles >= low) & (angles <= high)
    if angles.ndim != 1 or valid.sum() <= finite.sum() / 2:
        raise GalgenError(
            f"{path}: column {column.name} ({what}) does not hold angles of {low} to {high} deg; "
            f"give its unit in the table, or another column by {key}.{what}=<name>."
        )
    return np.where(valid, angles, np.nan)


def _sexagesimal(column: Column, what: str, unit: u.UnitBase) -> np.ndarray:
    """Read angles written as text, NaN where a cell holds something else.

    Raises:
        ValueError: if no cell holds an angle.
    """
    values = np.ma.asarray(column)
    known = np.flatnonzero(~np.ma.getmaskarray(values))
    hours = what == "ra" and (column.unit is None or unit != u.deg)
    angles = np.full(len(values), np.nan)
    texts = values.data[known].astype(str)
    numeric = not any(re.search(r"\d[:\s]\s*\d|\d\s*[hdms°'\"]", text) for text in texts)
    unit = (unit or u.deg) if numeric else (u.hourangle if hours else u.deg)
    try:
        angles[known] = Angle(texts, unit).deg
    except ValueError:
        for row, text in zip(known, texts, strict=True):
            try:
                angles[row] = Angle(text, unit).deg
            except (TypeError, ValueError) as error:
                refused = error
        if np.isnan(angles).all():
            raise refused from None
    return angles
