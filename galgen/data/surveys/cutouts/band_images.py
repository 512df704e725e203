"""Images of galaxies in all bands: a pattern a band, or one pattern and a band axis."""

from pathlib import Path

import numpy as np

from galgen.data.surveys.cutouts.cutout_array import CutoutArray, is_array
from galgen.data.surveys.cutouts.cutout_files import GALAXY, SUFFIXES, CutoutFiles, Unusable
from galgen.data.surveys.fits_files import file_and_part
from galgen.errors import GalgenError
from galgen.files import expand

ARRAYS = (*SUFFIXES, ".h5", ".hdf5", ".hdf", ".zarr")


class BandImages:
    """Images of galaxies in one or more bands: cutouts, or what goes with them.

    Args:
        key: under which the user gives them, for messages.
        given: a folder, a pattern or an array file; or one for each band, by its name.
        ids: names of the rows of array files, (N,); their numbers where None.

    Attributes:
        sources: files or an array by band, or those of all bands under None.

    Raises:
        GalgenError: if nothing is there, or it cannot be used.
    """

    def __init__(self, key: str, given: str | dict[str, str], ids: np.ndarray | None = None):
        self.key = key
        if isinstance(given, dict):
            self.sources = {
                str(band): _source(f"{key}.{band}", pattern, ids) for band, pattern in given.items()
            }
        else:
            self.sources = {None: _source(key, given, ids)}

    def has(self, name: str) -> list[bool]:
        """Tell which of the sources have a galaxy."""
        return [name in source.places for source in self.sources.values()]

    def inputs(self) -> list[Path]:
        """Return the files."""
        return [path for source in self.sources.values() for path in source.inputs()]

    def names(self) -> set[str]:
        """Return the names of all galaxies."""
        return set().union(*(source.places for source in self.sources.values()))

    def read(self, name: str, bands: int) -> list[tuple[np.ndarray, tuple[str, ...]] | None]:
        """Read a galaxy's image in each band.

        Args:
            name: of the galaxy.
            bands: number of bands.

        Returns:
            Pixels (H, W) and the cards of their calibration, None for a band without a file.

        Raises:
            Unusable: if a file is damaged, or has another number of axes or bands.
        """
        found = []
        for source in self.sources.values():
            place = source.places.get(name)
            if place is None:
                found += [None] * (bands // len(self.sources))
                continue
            pixels, cards = source.read(place)
            planes = split_bands(pixels, bands // len(self.sources))
            found += [(plane, cards) for plane in planes]
        return found


def split_bands(pixels: np.ndarray, bands: int) -> list[np.ndarray]:
    """Split a cutout into its bands, (H, W) each.

    Args:
        pixels: (H, W) of one band; (B, H, W) or (H, W, B) of several.
        bands: B.

    Raises:
        Unusable: if the shape is another, or either axis could be that of the bands.
    """
    if pixels.ndim == 2 and bands == 1:
        return [pixels]
    first, last = pixels.shape[0] == bands, pixels.shape[-1] == bands
    if pixels.ndim != 3 or (bands == 1 and not (first or last)):
        wanted = "(height, width)" if bands == 1 else f"({bands} bands, height, width)"
        raise Unusable(f"it has {pixels.ndim} axes and not {wanted}")
    if first and last:
        raise Unusable(
            f"its shape is {pixels.shape}, so that the bands may be the first or the last axis; "
            "save it as (bands, height, width) in another size, or a file a band"
        )
    if not first and not last:
        raise Unusable(f"none of its axes has the length of {bands}, the number of bands")
    return list(pixels if first else np.moveaxis(pixels, -1, 0))


def check_together(
    images: BandImages, companions: dict[str, BandImages], names: list[str]
) -> list[str]:
    """Check that files go together, and say how many galaxies lack some.

    Args:
        images: the cutouts.
        companions: what goes with them, by role.
        names: of the galaxies, (N,).

    Returns:
        Sentences for the user.

    Raises:
        GalgenError: if no galaxy has files of several kinds, or arrays differ in length.
    """
    lengths = {
        source.key: source.shape[0]
        for each in (images, *companions.values())
        for source in each.sources.values()
        if isinstance(source, CutoutArray)
    }
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} has {n}" for key, n in lengths.items())
        raise GalgenError(
            f"{next(iter(lengths))}: the arrays have different numbers of galaxies: {listed}. "
            "Give arrays of the same galaxies, in the same order."
        )
    has = np.array([images.has(name) for name in names])
    if has.shape[1] > 1 and (has.sum(axis=1) == 1).all():
        examples = [f"{band}: {next(iter(s.places))}" for band, s in images.sources.items()]
        raise GalgenError(
            f"cutouts.images: no galaxy has files in two bands. The names are such as "
            f"{', '.join(examples)}. Write {{id}} in each pattern where the galaxy's name "
            "stands."
        )
    notes = [f"{len(names)} galaxies have cutouts"]
    for number, band in enumerate(images.sources):
        lacking = int((~has[:, number]).sum())
        if lacking:
            notes.append(f"{lacking} of {len(names)} galaxies have no file in {band}")
    for each in companions.values():
        if not any(any(each.has(name)) for name in names):
            raise GalgenError(
                f"{each.key}: none of its files has the name of a galaxy, such as {names[0]}. "
                "Write {id} where the galaxy's name stands."
            )
    return notes


def has_signs(pattern: str) -> bool:
    """Tell whether a path stands for several files."""
    return any(sign in str(file_and_part(pattern)[0]) for sign in (GALAXY, "*", "?", "["))


def _source(key: str, given: str | Path, ids: np.ndarray | None) -> CutoutFiles | CutoutArray:
    path, part = file_and_part(given)
    if not path.name.lower().endswith(ARRAYS):  # then [...] is a sign of the pattern
        path, part = expand(given), None
    pattern = str(path)
    if GALAXY not in pattern and is_array(path):
        return CutoutArray(key, path, part, ids)
    if has_signs(pattern) or path.is_dir():
        return CutoutFiles(key, pattern, part)
    raise GalgenError(
        f"{key}={given}: there is no such file or folder. Give a folder of cutouts, a pattern "
        f"such as cutouts/{GALAXY}.fits, or an array file."
    )
