"""Detections that are one galaxy in two tiles, and those that are a catalogue's galaxies."""

import numpy as np
from astropy.coordinates import SkyCoord

from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.source_table import SourceTable, match
from galgen.errors import GalgenError

Columns = dict[str, np.ndarray]


def counted_once(mosaic: Mosaic, columns: Columns, notes: list[str]) -> Columns:
    """Keep one detection of each galaxy that lies in several tiles: the one with more around it.

    Args:
        mosaic: whose tiles overlap.
        columns: of the detections (n,), `tile`, `x`, `y`, `ra` and `dec` among them.
        notes: sentences for the user, to which one is added.

    Returns:
        The columns of those that are kept.
    """
    sky = SkyCoord(columns["ra"], columns["dec"], unit="deg")
    sides = np.array([tile.facts.shape for tile in mosaic.tiles])[columns["tile"]]
    x, y = columns["x"], columns["y"]
    room = np.min([x, y, sides[:, 1] - 1 - x, sides[:, 0] - 1 - y], axis=0)
    kept = columns["tile"] == 0
    for number in range(1, len(mosaic.tiles)):
        new, old = np.flatnonzero(columns["tile"] == number), np.flatnonzero(kept)
        kept[new] = True
        if len(new) and len(old):
            first, second = match(sky[old], sky[new], mosaic.match_radius)
            first, second = old[first], new[second]
            kept[np.where(room[first] >= room[second], second, first)] = False
    if not kept.all():
        notes.append(
            f"{(~kept).sum()} sources lie in two tiles, within {mosaic.match_radius} arcsec of one "
            "another, and are counted once"
        )
    return {name: values[kept] for name, values in columns.items()}


def of_catalogue(
    mosaic: Mosaic, columns: Columns, catalogue: SourceTable, rows: np.ndarray, notes: list[str]
) -> Columns:
    """Keep the detections of the galaxies of a catalogue, with redshifts and identifiers.

    Args:
        mosaic: in which they were detected.
        columns: of the detections (n,), `ra` and `dec` among them.
        catalogue: the galaxies.
        rows: those of them that lie at pixels with data.
        notes: sentences for the user, to which some are added.

    Returns:
        The columns of those that are kept.

    Raises:
        GalgenError: if there are none.
    """
    sky = SkyCoord(catalogue.ra[rows], catalogue.dec[rows], unit="deg")
    found = SkyCoord(columns["ra"], columns["dec"], unit="deg")
    entry, detected = match(sky, found, mosaic.match_radius)
    if not len(entry):
        place = found[:1].to_string()[0]
        raise GalgenError(
            f"mosaic.catalogue={mosaic.catalogue}: none of its {len(catalogue.ra)} galaxies "
            f"is within {mosaic.match_radius} arcsec of a source ({len(rows)} of them are in "
            f"the image, which has a source at RA, Dec = {place}). Check the catalogue's "
            "columns and the WCS, or raise mosaic.match_radius."
        )
    missed = np.delete(np.arange(len(rows)), entry)
    notes.append(
        f"{len(columns['x'])} sources detected, {len(entry)} of the catalogue's {len(rows)} "
        f"galaxies in the image matched within {mosaic.match_radius} arcsec; "
        f"{len(catalogue.ra) - len(rows)} lie outside of its pixels with data"
    )
    nearest = sky[missed].match_to_catalog_sky(found)[1].arcsec if len(missed) else missed
    shared, missed = (
        rows[missed[nearest <= mosaic.match_radius]],
        rows[missed[nearest > mosaic.match_radius]],
    )
    if len(shared):
        notes.append(
            f"{len(shared)} catalogue entries are left out, their detection is another "
            f"entry's: ids {catalogue.named(shared)}"
        )
    if len(missed):
        notes.append(
            f"{len(missed)} catalogue entries have no detection (mosaic.threshold and "
            f"mosaic.min_pixels say how faint it may be): ids {catalogue.named(missed)}"
        )
    order = np.argsort(detected)  # by piece
    rows = rows[entry[order]]
    columns = {name: values[detected[order]] for name, values in columns.items()}
    columns["redshift"] = catalogue.redshift[rows].astype(np.float32)
    columns["galaxy_id"] = np.arange(len(rows))
    if catalogue.galaxy_id is not None:
        columns["galaxy_id"] = catalogue.galaxy_id[rows]
    if catalogue.catalogue_id is not None:
        columns["catalogue_id"] = catalogue.catalogue_id[rows]
    return columns
