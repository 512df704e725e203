"""A table of galaxies with positions and redshifts, in any format that astropy reads."""

from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.wcs import WCS

from galgen.data.stamp_file import LARGEST_REDSHIFT, known_redshifts
from galgen.data.surveys.columns import NAMES, choose, degrees, listed, redshifts
from galgen.data.surveys.identifiers import identifiers
from galgen.data.surveys.tables import plain, read_table
from galgen.errors import GalgenError

KEY = "mosaic.columns"
"""Where the user gives names of columns."""
WANTED = ("ra", "dec", "redshift", "id")
"""Columns of a catalogue."""
MISSING = {
    "redshift": "redshifts, they are unknown (NaN)",
    "id": "identifiers, galaxies are numbered",
}
"""The note for a missing column."""


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
        return listed((self.row if ids is None else ids)[rows], longest)

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
    table = read_table(path, _has_positions, "mosaic.catalogue")
    chosen = {what: choose(table.columns, what, columns.get(what), path, KEY) for what in WANTED}
    for what in ("ra", "dec"):
        if chosen[what] is None:
            raise GalgenError(
                f"{path}: galgen cannot infer the column of {what}. Give "
                f"mosaic.columns.{what}=<name>, one of {', '.join(table.colnames)}."
            )
    found = {what: plain(table[name]) for what, name in chosen.items() if name}
    ra, dec = (degrees(found[what], what, path, KEY) for what in ("ra", "dec"))
    notes = [f"columns of {Path(path).name}: {_said(chosen)}"]
    redshift = np.full(len(table), np.nan)
    if "redshift" in found:
        redshift = known_redshifts(redshifts(found["redshift"], path, KEY))
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
    galaxy_id, catalogue_id = identifiers(found.get("id"), path, notes, KEY)
    row = np.arange(len(table))
    usable = np.isfinite(ra) & np.isfinite(dec)
    ids = catalogue_id if galaxy_id is None else galaxy_id
    if not usable.all():
        out = listed((row if ids is None else ids)[~usable])
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


def _said(chosen: dict[str, str | None]) -> str:
    return ", ".join(f"{what} from {name}" for what, name in chosen.items() if name)
