"""A table of galaxies with positions and redshifts, in any format that astropy reads."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord, search_around_sky
from astropy.table import Column, TableColumns
from astropy.wcs import WCS

from galgen.data.stamp_file import LARGEST_REDSHIFT, known_redshifts
from galgen.data.surveys.identifiers import identifiers
from galgen.data.surveys.tables import plain, read_table
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
}
"""Names of columns in lower case, the best first; none is better than another joined by a bar."""
MISSING = {
    "redshift": "redshifts, they are unknown (NaN)",
    "id": "identifiers, galaxies are numbered",
}
"""The note for a missing column."""
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


@dataclass
class SourceTable:
    """Galaxies of a catalogue, N of them."""

    ra: np.ndarray
    """(N,), degrees, ICRS."""
    dec: np.ndarray
    """(N,), degrees, ICRS."""
    redshift: np.ndarray
    """(N,), NaN where unknown."""
    galaxy_id: np.ndarray | None
    """(N,), int64, where the table has identifiers that are integers and unique."""
    catalogue_id: np.ndarray | None
    """(N,), bytes, where it has others."""
    row: np.ndarray
    """(N,), where in the table they are, from 0."""
    notes: list[str] = field(default_factory=list)

    def named(self, rows: np.ndarray, longest: int = 10) -> str:
        """List the identifiers of some rows (or their numbers, from 0), the first few of them."""
        ids = self.galaxy_id if self.galaxy_id is not None else self.catalogue_id
        return _listed((self.row if ids is None else ids)[rows], longest)

    def inside(self, wcs: WCS, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Find the galaxies in an image.

        Args:
            wcs: of the image.
            shape: its height and width, px.

        Returns:
            Their rows (M,), and the pixels, y and x (2, M), that they are in.
        """
        sky = SkyCoord(self.ra, self.dec, unit="deg")
        height, width = shape
        corners = wcs.pixel_to_world([0, width, 0, width], [0, 0, height, height])
        centre = wcs.pixel_to_world(width / 2, height / 2)
        # Far from the image its projection may not exist.
        near = np.flatnonzero(sky.separation(centre) <= 1.1 * corners.separation(centre).max())
        pixels = np.rint(wcs.world_to_pixel(sky[near])[::-1]).astype(int)
        there = np.all([(p >= 0) & (p < side) for p, side in zip(pixels, shape, strict=True)], 0)
        return near[there], pixels[:, there]


def read_catalogue(path: str | Path, columns: dict[str, str]) -> SourceTable:
    """Read positions, redshifts and identifiers of galaxies.

    Args:
        path: FITS, ECSV, CSV, VOTable or other table, compressed by gzip or not.
        columns: names of the columns `ra`, `dec`, `redshift`, `id`, where galgen cannot infer them.

    Returns:
        The galaxies, in the table's order.

    Raises:
        GalgenError: if the table cannot be read or has no rows, or if a column or its unit is
            ambiguous.
    """
    table = read_table(path, _has_positions)
    chosen = {what: _choose(table.columns, what, columns.get(what), path) for what in NAMES}
    for what in ("ra", "dec"):
        if chosen[what] is None:
            raise GalgenError(
                f"{path}: galgen cannot infer the column of {what}. Give "
                f"mosaic.columns.{what}=<name>, one of {', '.join(table.colnames)}."
            )
    found = {what: plain(table[name]) for what, name in chosen.items() if name}
    ra, dec = (_degrees(found[what], what, path) for what in ("ra", "dec"))
    notes = [f"columns of {Path(path).name}: {_said(chosen)}"]
    redshift = np.full(len(table), np.nan)
    if "redshift" in found:
        redshift = known_redshifts(_redshifts(found["redshift"], path))
        unknown = int(np.isnan(redshift).sum())
        if unknown:
            notes.append(
                f"{unknown} of {len(table)} redshifts in {chosen['redshift']} are unknown: not a "
                f"number, not positive, or beyond {LARGEST_REDSHIFT}"
            )
    for what, said in MISSING.items():
        if what not in found:
            notes.append(
                f"no column of {Path(path).name} has a name of {said}; mosaic.columns.{what}="
                "<name> gives one"
            )
    galaxy_id, catalogue_id = identifiers(found.get("id"), path, notes)
    row = np.arange(len(table))
    usable = np.isfinite(ra) & np.isfinite(dec)
    ids = catalogue_id if galaxy_id is None else galaxy_id
    if not usable.all():
        out = _listed((row if ids is None else ids)[~usable])
        notes.append(
            f"{(~usable).sum()} rows of {Path(path).name} are left out, because they have no "
            f"position: {'rows' if ids is None else 'ids'} {out}"
        )
    arrays = (
        None if array is None else array[usable]
        for array in (ra % 360, dec, redshift, galaxy_id, catalogue_id, row)
    )
    return SourceTable(*arrays, notes)


def match(entries: SkyCoord, detections: SkyCoord, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Match one to one, the closest pairs first.

    Args:
        entries: positions in the catalogue.
        detections: positions in the image.
        radius: largest separation, arcsec.

    Returns:
        Indices of the matched entries, and of their detections.
    """
    entry, detection, separation, _ = search_around_sky(entries, detections, radius * u.arcsec)
    pairs, taken = {}, set()
    for pair in np.argsort(separation, kind="stable"):
        if entry[pair] not in pairs and detection[pair] not in taken:
            pairs[entry[pair]] = detection[pair]
            taken.add(detection[pair])
    return np.array(list(pairs), int), np.array(list(pairs.values()), int)


def _has_positions(names: list[str]) -> bool:
    """Tell whether columns of some names could hold positions."""
    lower = {name.lower() for name in names}
    return all(lower & set(NAMES[what].split()) for what in ("ra", "dec"))


def _choose(columns: TableColumns, what: str, given: str | None, path: str | Path) -> str | None:
    """Find the column of a quantity: as given, by name, or by UCD; None where there is none."""
    if given is not None:
        if given not in columns:
            raise GalgenError(
                f"mosaic.columns.{what}={given}: {path} has no such column. Give one of "
                f"{', '.join(columns)}."
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
            f"{path}: {', '.join(found)} could each be the {what}. Give "
            f"mosaic.columns.{what}=<one of them>."
        )
    return found[0] if found else None


def _said(chosen: dict[str, str | None]) -> str:
    return ", ".join(f"{what} from {name}" for what, name in chosen.items() if name)


def _listed(names: np.ndarray, longest: int = 10) -> str:
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names[:longest]]
    return ", ".join(texts) + (", ..." if len(names) > longest else "")


def _floats(column: Column) -> np.ndarray:
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


def _redshifts(column: Column, path: str | Path) -> np.ndarray:
    unit = str(column.unit or "").strip()
    if unit and isinstance(column.unit, u.UnitBase) and column.unit.is_equivalent(u.m / u.s):
        raise GalgenError(
            f"{path}: column {column.name} (redshift) holds velocities in {unit}. Give another "
            "one by mosaic.columns.redshift=<name>."
        )
    try:
        numbers = _floats(column)
    except (TypeError, ValueError) as error:
        raise GalgenError(
            f"{path}: column {column.name} (redshift) does not hold numbers ({error}). Give "
            "another one by mosaic.columns.redshift=<name>."
        ) from error
    if numbers.ndim != 1:
        raise GalgenError(
            f"{path}: column {column.name} (redshift) has {numbers.shape[1:]} values a row. Give "
            "another one by mosaic.columns.redshift=<name>."
        )
    return numbers


def _degrees(column: Column, what: str, path: str | Path) -> np.ndarray:
    """Return a coordinate in degrees, from numbers or sexagesimal strings in any unit; or NaN."""
    spelled = str(column.unit).strip().lower().rstrip(".")
    unit = UNITS.get(spelled.split()[0] if spelled.split() else "none", column.unit)
    try:
        try:
            degrees = u.Quantity(_floats(column), unit).to_value(u.deg)
        except ValueError:
            degrees = _sexagesimal(column, what, unit)
    except (TypeError, ValueError) as error:
        raise GalgenError(
            f"{path}: column {column.name} ({what}, unit {column.unit}) does not hold angles. Give "
            f"its unit in the table, or another column by mosaic.columns.{what}=<name> ({error})."
        ) from error
    low, high = (-180, 360) if what == "ra" else (-90, 90)
    finite = np.isfinite(degrees)
    valid = finite & (degrees >= low) & (degrees <= high)
    if degrees.ndim != 1 or valid.sum() <= finite.sum() / 2:
        raise GalgenError(
            f"{path}: column {column.name} ({what}) does not hold angles of {low} to {high} deg; "
            f"give its unit in the table, or another column by mosaic.columns.{what}=<name>."
        )
    return np.where(valid, degrees, np.nan)


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
