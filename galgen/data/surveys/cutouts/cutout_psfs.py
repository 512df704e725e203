"""The PSFs of cutouts: one for all galaxies, or one for each."""

import hashlib
from pathlib import Path

import numpy as np
from astropy.nddata import overlap_slices

from galgen.config.wording import quoted
from galgen.data.surveys.cutouts.band_images import BandImages, has_signs, split_bands
from galgen.data.surveys.cutouts.cutout_array import HDF5, open_array
from galgen.data.surveys.cutouts.cutout_files import Several, Unusable, read_file
from galgen.data.surveys.fits_files import file_and_part
from galgen.errors import GalgenError
from galgen.files import check_file


class CutoutPsfs:
    """PSFs, each brought to one size around its centre and to the sum 1.

    Args:
        given: file of (h, w) or (B, h, w) for all galaxies, of (N, B, h, w) for each, or a pattern
            with `{id}`; or one for each band.
        ids: names of the rows of array files.
        bands: names of the bands, (B,).
        looked_at: names of galaxies whose PSFs decide the size.

    Attributes:
        shared: the PSF of all galaxies, (B, h, w); None where each has its own.
        each: the PSFs of the galaxies, where each has its own.

    Raises:
        GalgenError: if there is no PSF.
    """

    def __init__(
        self,
        given: str | dict[str, str],
        ids: np.ndarray | None,
        bands: list[str],
        looked_at: list[str],
    ):
        self.bands, self.shared, self.each = len(bands), None, None
        patterns = list(given.values()) if isinstance(given, dict) else [given]
        self.patterns = patterns
        alone = None if any(map(has_signs, patterns)) else [_read(pattern) for pattern in patterns]
        if alone is None or alone[0].ndim == 4:
            self.each = BandImages("cutouts.psf", given, ids)
            self.side = self._largest(looked_at)
            return
        try:
            planes = [p for item in alone for p in split_bands(item, self.bands // len(alone))]
        except Unusable as error:
            raise GalgenError(
                f"cutouts.psf={patterns[0]}: {error}. Give one of each band."
            ) from error
        self.side = max(max(plane.shape) for plane in planes)
        shared = [_normalised(plane, self.side) for plane in planes]
        if any(psf is None for psf in shared):
            raise GalgenError(
                f"cutouts.psf={patterns[0]}: it has values that are not finite, or its sum is not "
                "positive. Give another."
            )
        self.shared = np.stack(shared)

    def identity(self) -> str:
        """Return a hash of the PSF, or of the names, sizes and times of the files of each."""
        if self.each is None:
            return hashlib.sha256(self.shared.tobytes()).hexdigest()
        lines = "".join(source.identity() for source in self.each.sources.values())
        return hashlib.sha256(lines.encode()).hexdigest()

    def inputs(self) -> list[Path]:
        """Return the files."""
        if self.each is not None:
            return self.each.inputs()
        return [file_and_part(pattern)[0] for pattern in self.patterns]

    def of(self, name: str) -> np.ndarray | None:
        """Return the PSFs of a galaxy, (B, h, w), or None where it lacks one."""
        try:
            found = self.each.read(name, self.bands)
        except Unusable:
            return None
        psfs = [None if item is None else _normalised(item[0], self.side) for item in found]
        return None if any(psf is None for psf in psfs) else np.stack(psfs)

    def _largest(self, names: list[str]) -> int:
        sides = []
        for name in names:
            try:
                found = self.each.read(name, self.bands)
            except Unusable:
                continue
            sides += [max(item[0].shape) for item in found if item is not None]
        if not sides:
            raise GalgenError(
                f"cutouts.psf: no PSF can be used of galaxies such as {names[0]}. Give a pattern "
                "with {id} where the galaxy's name stands, or a file for all."
            )
        return max(sides)


def _read(given: str) -> np.ndarray:
    path, part = file_and_part(given)
    if not path.is_dir():
        check_file(f"cutouts.psf={given}", path)
    if path.is_dir() or path.suffix.lower() in HDF5:
        return open_array("cutouts.psf", Path(path), part)
    try:
        return read_file(path, part)[0]
    except Several as error:
        named = quoted(f"{path}[{error.first}]")
        raise GalgenError(
            f"cutouts.psf={given}: {error}. Name one, cutouts.psf={named}."
        ) from error
    except Unusable as error:
        raise GalgenError(f"cutouts.psf={given}: {error}. Give another file.") from error


def _normalised(psf: np.ndarray, side: int) -> np.ndarray | None:
    """Crop or pad a PSF (h, w) around its centre, and bring its sum to 1; None if it has none."""
    psf = np.asarray(psf, float)
    image = np.zeros((side, side), np.float32)
    centre = tuple(length // 2 for length in psf.shape)
    out, into = overlap_slices(psf.shape, image.shape, centre, mode="partial")
    total = psf[out].sum()
    if not (np.isfinite(total) and total > 0):
        return None
    image[into] = psf[out] / total
    return image
