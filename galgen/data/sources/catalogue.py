"""A table of galaxies with positions and redshifts, in any format that astropy reads."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord, search_around_sky
from astropy.io.registry import IORegistryError
from astropy.table import Column, Table
from astropy.wcs import WCS

from galgen.data.stamps import known_redshifts
from galgen.errors import GalgenError

NAMES = {
    "ra": "ra raj2000 ra_j2000 _raj2000 alpha_j2000 alphawin_j2000 alphapeak_j2000 ra_icrs ra_deg "
    "radeg right_ascension alpha x_world",
    "dec": "dec de dej2000 dec_j2000 _dej2000 delta_j2000 deltawin_j2000 deltapeak_j2000 de_icrs "
    "dec_deg decdeg dedeg declination delta y_world",
    "redshift": "redshift|z_best|zbest z zspec|z_spec|specz|spec_z|zphot|z_phot|photoz|photo_z|"
    "photz|phot_z|z_peak|zpeak|lp_zbest|ez_z_phot",
    "id": "id number ident objid obj_id object_id objectid source_id galaxy_id name",
}
"""Names of columns in lower case, the best first; none is better than another joined by a bar."""
UCDS = {"ra": "pos.eq.ra", "dec": "pos.eq.dec", "redshift": "src.redshift"}
UNITS = {"none": u.deg, "degree": u.deg, "degrees": u.deg, "h": u.hourangle, "hr": u.hourangle}
"""Units of coordinates that astropy does not take, or takes for another one."""


@dataclass
class Catalogue:
    """Galaxies of a catalogue, N of them."""

    ra: np.ndarray
    """(N,), degrees, ICRS; NaN where the table has no position."""
    dec: np.ndarray
    """(N,), degrees, ICRS."""
    redshift: np.ndarray
    """(N,), NaN where unknown."""
    galaxy_id: np.ndarray | None
    """(N,), int64, where the table has identifiers that are integers and unique."""
    catalogue_id: np.ndarray | None
    """(N,), bytes, where it has others."""
    notes: list[str] = field(default_factory=list)

    def named(self, rows: np.ndarray, longest: int = 10) -> str:
        """List the identifiers of some rows (or their numbers, from 0), the first few of them."""
        ids = self.galaxy_id if self.galaxy_id is not None else self.catalogue_id
        names = [row if ids is None else ids[row] for row in rows[:longest]]
        text = ", ".join(name.decode() if isinstance(name, bytes) else str(name) for name in names)
        return text + (", ..." if len(rows) > longest else "")

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


def read_catalogue(path: str | Path, columns: dict[str, str]) -> Catalogue:
    """Read positions, redshifts and identifiers of galaxies.

    Args:
        path: FITS, ECSV, CSV, VOTable or other table, compressed by gzip or not.
        columns: names of the columns `ra`, `dec`, `redshift`, `id`, where they cannot be told.

    Returns:
        The galaxies, in the table's order.

    Raises:
        GalgenError: if the table cannot be read or has no rows, or if a column or its unit
            cannot be told.
    """
    table = _read(Path(path))
    chosen = {what: _choose(table, what, columns.get(what), path) for what in NAMES}
    for what in ("ra", "dec"):
        if chosen[what] is None:
            raise GalgenError(
                f"{path}: which column holds {what} cannot be told; give "
                f"mosaic.columns.{what}=<name>, one of {', '.join(table.colnames)}"
            )
    ra = _degrees(table[chosen["ra"]], "ra", path) % 360
    dec = _degrees(table[chosen["dec"]], "dec", path)
    notes = [f"columns of {Path(path).name}: {_said(chosen)}"]
    redshift = np.full(len(table), np.nan)
    if chosen["redshift"] is None:
        notes.append(f"{Path(path).name} has no column of redshifts, they are unknown (NaN)")
    else:
        redshift = known_redshifts(_floats(table[chosen["redshift"]], "redshift", path))
    galaxy_id, catalogue_id = _identifiers(table[chosen["id"]] if chosen["id"] else None)
    return Catalogue(ra, dec, redshift, galaxy_id, catalogue_id, notes)


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


def _read(path: Path) -> Table:
    if not path.is_file():
        raise GalgenError(f"mosaic.catalogue: there is no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units and details of the standards
            with open(path, "rb") as file:
                is_fits = file.read(6) == b"SIMPLE"
            try:  # a catalogue of gigabytes is not read whole
                table = Table.read(path, **({"format": "fits", "memmap": True} if is_fits else {}))
            except IORegistryError:  # a name that says nothing, as x.csv.gz
                table = Table.read(path, format="ascii")
    except Exception as error:  # each format has its own
        raise GalgenError(
            f"mosaic.catalogue: {path} cannot be read as a table; save it as FITS, ECSV, CSV or "
            f"VOTable ({str(error).strip().splitlines()[0] if str(error).strip() else error!r})"
        ) from error
    if not len(table):
        raise GalgenError(f"mosaic.catalogue: {path} has no rows")
    return table


def _choose(table: Table, what: str, given: str | None, path: str | Path) -> str | None:
    """Find the column of a quantity: as given, by name, or by UCD; None where there is none."""
    if given is not None:
        if given not in table.colnames:
            raise GalgenError(
                f"mosaic.columns.{what} is {given}, {path} has no such column, it has "
                f"{', '.join(table.colnames)}"
            )
        return given
    ranks = [rank.split("|") for rank in NAMES[what].split()]
    groups = [[name for name in table.colnames if name.lower() in rank] for rank in ranks]
    if {"r", "i"} <= {name.lower() for name in table.colnames}:  # then z is a magnitude
        groups = [[name for name in group if name.lower() != "z"] for group in groups]
    if what in UCDS:
        ucds = {name: str(table[name].meta.get("ucd", "")).lower() for name in table.colnames}
        fitting = [name for name in ucds if ucds[name].split(";")[0].startswith(UCDS[what])]
        groups += [[name for name in fitting if "meta.main" in ucds[name]], fitting]
    found = next((group for group in groups if group), [])
    if len(found) > 1:
        raise GalgenError(
            f"{path}: {', '.join(found)} could each be the {what}; give "
            f"mosaic.columns.{what}=<one of them>"
        )
    return found[0] if found else None


def _said(chosen: dict[str, str | None]) -> str:
    return ", ".join(f"{what} from {name}" for what, name in chosen.items() if name)


def _floats(column: Column, what: str, path: str | Path) -> np.ndarray:
    """Return a column as float64, NaN where it is masked."""
    try:
        return np.ma.filled(np.ma.asarray(column).astype(float), np.nan)
    except (TypeError, ValueError) as error:
        raise GalgenError(
            f"{path}: column {column.name} ({what}) does not hold numbers; give another one by "
            f"mosaic.columns.{what}=<name>"
        ) from error


def _degrees(column: Column, what: str, path: str | Path) -> np.ndarray:
    """Return a coordinate in degrees, from numbers or sexagesimal strings in any unit."""
    try:
        try:
            unit = UNITS.get(str(column.unit).lower(), column.unit)
            degrees = u.Quantity(_floats(column, what, path), unit).to_value(u.deg)
        except GalgenError:
            texts = np.asarray(column).astype(str)
            degrees = Angle(texts, u.hourangle if what == "ra" else u.deg).deg
    except (TypeError, ValueError) as error:
        raise GalgenError(
            f"{path}: column {column.name} ({what}, unit {column.unit}) does not hold angles; give "
            f"its unit in the table, or another column by mosaic.columns.{what}=<name> ({error})"
        ) from error
    low, high = (-180, 360) if what == "ra" else (-90, 90)
    finite = degrees[np.isfinite(degrees)]
    if not len(finite) or finite.min() < low or finite.max() > high:
        raise GalgenError(
            f"{path}: column {column.name} ({what}) does not hold angles of {low} to {high} deg; "
            f"give its unit in the table, or another column by mosaic.columns.{what}=<name>"
        )
    return degrees


def _identifiers(column: Column | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return identifiers as integers where they are, and unique; else as bytes."""
    if column is None:
        return None, None
    values = np.ma.asarray(column)
    if values.dtype.kind in "iu" and len(np.unique(values.compressed())) == len(values):
        return np.array(values, np.int64), None
    return None, np.char.encode(np.char.strip(np.ma.filled(values.astype(str), "")))
