"""The stamp file: galaxy images and their catalogue in one HDF5 file.

Three layouts are read: galgen's own, which stamp_writing.py writes, marked by the attribute
`galgen_schema`; and the original project's two, a 3-D dataset of peak-normalised images alone
or beside a 1-D one of redshifts, distinguished by rank. In galgen's own the images may lie in other
files, the shards of a large survey, that an HDF5 virtual dataset joins. Schema 1, and the original
layouts, have no band axis and are read as one band.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from galgen.data.bands import read_bands
from galgen.data.noise_correlation import read_noise_correlation
from galgen.data.stamp_shards import check_shards
from galgen.errors import GalgenError
from galgen.files import is_file, reading

SCHEMA = 2
"""Version of galgen's own layout, in the attribute `galgen_schema`."""

LARGEST_REDSHIFT = 9
"""Catalogues mark failed redshifts by numbers beyond it, or by zero and negative ones."""

NUMBERS = ("galaxy_id", "redshift", "noise_variance", "background")
"""Columns that trainings read."""

OF_BANDS = ("magnitude", "noise_variance", "background")
"""Columns that have a value for each band, (N, B)."""


class StampFile:
    """An opened stamp file: its columns in memory, its images on disk.

    Args:
        path: HDF5 file in one of the three layouts.
        bands: names of the bands to read, in this order; all of the file where None.

    Attributes:
        bands: names of the bands, B of them.
        reference: number of the band in which shapes are measured and magnitudes are conditions;
            by the attribute `reference_band`, else the first.
        columns: arrays (N,) by name, and (N, B) of what differs between bands; `galaxy_id` where
            the file has parent ids.
        stacks: shapes (N, B, H, W) of the images by name, `image` among them.
        attrs: the file's attributes (survey, bands, pixel_scale in arcsec, unit, ...).
        noise_correlation: of the noise in each band by offset, (B, h, w); None where unknown.
        zero_points: AB magnitude of one unit in each band, (B,); None where unknown.
        size: side of the stamps, px.
        shards: the files that the images lie in, where they are not in this one.
        peak_normalised: whether pixels lie in [0, 1] already, as in the original layouts.

    Raises:
        GalgenError: if the file is missing, damaged, in none of the layouts, or lacks a band.
    """

    def __init__(self, path: str | Path, bands: Sequence[str] | None = None):
        self.path = Path(path)
        if not is_file(self.path):
            raise GalgenError(f"{self.path}: there is no such file.")
        try:
            with reading(self.path), h5py.File(self.path) as file:
                self._read_header(file, bands)
        except OSError as error:
            raise GalgenError(
                f"{self.path}: cannot be read as HDF5, it is damaged, truncated or of another "
                f"format ({error})."
            ) from error
        self._file, self._owner = None, None

    def __len__(self) -> int:
        return self._n

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None, "_owner": None}

    def read(self, rows: slice | np.ndarray, size: int, name: str = "image") -> np.ndarray:
        """Read images, cropped around their centre.

        Args:
            rows: a slice, or row numbers in any order.
            size: side of the crop, px.
            name: which of the stacks.

        Returns:
            Array (len(rows), B, size, size), float32.

        Raises:
            GalgenError: if a pixel is not finite, or the file is damaged.
            ValueError: if the crop is larger than the images.
        """
        side = min(self.stacks[name][2:])
        if size > side:
            raise ValueError(f"size={size}: '{name}' of {self.path} is {side} px wide")
        crop = tuple(middle(side, size) for side in self.stacks[name][2:])
        try:
            with reading(self.path):
                stack = self._stack(name)
                if isinstance(rows, slice):
                    pixels = self._in_bands(stack[(rows, ..., *crop)])
                    stamps = self._as_float32(pixels, rows, name)
                else:
                    stamps = np.empty((len(rows), len(self.bands), size, size), np.float32)
                    for position in np.argsort(rows, kind="stable"):
                        row = int(rows[position])
                        pixels = self._in_bands(stack[row][(..., *crop)][None])
                        stamps[position] = self._as_float32(pixels, slice(row, row + 1), name)[0]
        except OSError as error:
            raise GalgenError(f"{self.path}: damaged or truncated, {error}") from error
        bad = ~np.isfinite(stamps).all(axis=(1, 2, 3))
        if bad.any():
            numbers = np.arange(self.stacks[name][0])[rows][bad]
            raise GalgenError(
                f"{self.path}: {len(numbers)} stamps have NaN or infinite pixels, the first is row "
                f"{numbers[0]} of '{name}' (counted from 0). Remove them from the file, or "
                "set these pixels to 0 and their 'weight' too."
            )
        return stamps

    def _in_bands(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (n, [bands of the file,] H, W) in the chosen bands, (n, B, H, W)."""
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels
        return pixels if self._bands.chosen is None else pixels[:, self._bands.chosen]

    def _as_float32(self, pixels: np.ndarray, rows: slice, name: str) -> np.ndarray:
        """Cast pixels (n, B, H, W) to float32.

        Raises:
            GalgenError: if float32 cannot hold them: as zero, infinity, or too few digits.
        """
        with np.errstate(over="ignore", under="ignore"):
            cast = pixels.astype(np.float32, copy=False)
        if pixels.dtype.itemsize <= 4:
            return cast
        too_large = np.isfinite(pixels) & ~np.isfinite(cast)
        # Losing a tiny number beside a galaxy's light is harmless; losing all of its light is not.
        dark = np.abs(cast).max((1, 2, 3), initial=0) < np.finfo(np.float32).tiny
        lost = too_large.any((1, 2, 3)) | (dark & (pixels != 0).any((1, 2, 3)))
        if lost.any():
            row = np.arange(self.stacks[name][0])[rows][lost][0]
            peak = np.abs(pixels[lost][0]).max()
            raise GalgenError(
                f"{self.path}: {lost.sum()} stamps have pixels that float32 cannot hold (1e-38 to "
                f"3e38); the first is row {row} of '{name}' (counted from 0), with a peak of "
                f"{peak:.3g}. Multiply the images by a constant, and adapt the unit and the zero "
                "point."
            )
        return cast

    def by_galaxy(self, name: str) -> np.ndarray:
        """Return a column as one value a galaxy, (N,), in the reference band where bands differ."""
        values = self.columns[name]
        return values[:, self.reference] if values.ndim == 2 else values

    @property
    def has_band(self) -> np.ndarray:
        """Which galaxies have which bands, (N, B) of bool; the others' pixels have weight 0."""
        if "has_band" in self.columns:
            return self.columns["has_band"].reshape(self._n, -1) > 0
        return np.ones((self._n, len(self.bands)), bool)

    def close(self) -> None:
        """Let go of the file until it is read again."""
        if self._owner == os.getpid():
            self._file.close()
        self._file, self._owner = None, None

    def _stack(self, name: str) -> h5py.Dataset:
        """Open a dataset, the file once in each process (an open file must not be forked)."""
        if self._owner != os.getpid():
            self._file, self._owner = h5py.File(self.path), os.getpid()
        return self._file[self._image_name if name == "image" else name]

    def _read_header(self, file: h5py.File, bands: Sequence[str] | None) -> None:
        datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        self.attrs = {name: _plain(value) for name, value in file.attrs.items()}
        version = self.attrs.get("galgen_schema")
        if version is not None and not isinstance(version, int):
            raise GalgenError(f"{self.path}: its galgen_schema is {version!r}, not a number.")
        if version is not None and version > SCHEMA:
            raise GalgenError(
                f"{self.path}: written with schema {version}, this galgen reads up to {SCHEMA}; "
                "install a newer galgen."
            )
        self.peak_normalised = version is None
        if self.peak_normalised:
            stacks = [name for name, item in datasets.items() if item.ndim == 3]
        else:
            stacks = [name for name in datasets if name == "image"]
        if len(stacks) != 1 or datasets[stacks[0]].ndim not in (3, 4):
            raise GalgenError(
                f"{self.path}: a stamp file has one dataset of images, (galaxies, bands, height, "
                f"width) or (galaxies, height, width); this one has {len(stacks) or 'none'}."
            )
        self._image_name = stacks[0]
        image = datasets.pop(stacks[0])
        there = 1 if image.ndim == 3 else image.shape[1]
        self._bands = read_bands(self.path, self.attrs, there, bands)
        self.bands, self.zero_points = self._bands.names, self._bands.zero_points
        self.reference = self._bands.reference
        self.noise_correlation = read_noise_correlation(self.path, self.attrs, self._bands)
        shapes = {"image": image.shape}
        shapes |= {n: item.shape for n, item in datasets.items() if item.ndim in (3, 4)}
        self.stacks = {name: self._shape(name, shape) for name, shape in shapes.items()}
        self.shards = check_shards(self.path, file)
        self._n, _, height, width = self.stacks["image"]
        if not np.issubdtype(image.dtype, np.number):
            raise GalgenError(f"{self.path}: dataset '{image.name}' does not hold numbers.")
        if self._n == 0:
            raise GalgenError(f"{self.path}: the survey is empty, it has no stamps.")
        if height != width:
            raise GalgenError(f"{self.path}: stamps must be square, these are {height} x {width}.")
        self.size = height
        for name, shape in self.stacks.items():
            if shape[0] != self._n and name != "psf":
                raise GalgenError(f"{self.path}: {self._n} stamps but {shape[0]} rows in '{name}'.")
        columns = {
            name: item
            for name, item in datasets.items()
            if item.ndim == 1 or (item.ndim == 2 and item.shape[1] in (1, self._bands.of_file))
        }
        self._read_columns(columns)
        lacking = int((~self.has_band).any(axis=1).sum())
        if lacking and "weight" not in self.stacks:
            raise GalgenError(
                f"{self.path}: {lacking} galaxies lack a band, and there is no 'weight'. Write it "
                "as images that are 0 there and else 1."
            )

    def _shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a stack of images, (N, B, H, W).

        Raises:
            GalgenError: if it has another number of bands than the images.
        """
        there = 1 if len(shape) == 3 else shape[1]
        if there != self._bands.of_file:
            raise GalgenError(
                f"{self.path}: its images have {self._bands.of_file} bands, '{name}' has {there}."
            )
        return shape[0], len(self.bands), *shape[-2:]

    def _read_columns(self, flat: dict[str, h5py.Dataset]) -> None:
        others = [name for name in flat if name != "galaxy_id"]
        if self.peak_normalised and len(others) > 1:
            raise GalgenError(
                f"{self.path}: beside the images there are {len(others)} datasets of rank 1 "
                f"({', '.join(others)}), and galgen cannot tell the redshift. Keep only that one."
            )
        self.columns = {}
        for name, item in flat.items():
            column = "redshift" if self.peak_normalised and name in others else name
            if len(item) != self._n:
                raise GalgenError(
                    f"{self.path}: {self._n} stamps but {len(item)} values in '{name}'."
                )
            if column in NUMBERS and not np.issubdtype(item.dtype, np.number):
                found = "text" if item.dtype.kind in "OSU" else str(item.dtype)
                raise GalgenError(
                    f"{self.path}: '{name}' does not hold numbers but {found}. Write it as numbers"
                    + (", such as a count of the galaxies." if column == "galaxy_id" else ".")
                )
            self.columns[column] = self._column(name, item[:])

    def _column(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return a column (N,), or (N, B) where it differs between the bands."""
        if name == "galaxy_id":
            return _whole_ids(self.path, values.reshape(-1))
        by_band = name in OF_BANDS or (values.ndim == 2 and self._bands.of_file > 1)
        if not by_band:
            return values.reshape(-1)
        values = values.reshape(self._n, -1)
        if values.shape[1] != self._bands.of_file:
            raise GalgenError(
                f"{self.path}: '{name}' has one value for a galaxy, and its images have "
                f"{self._bands.of_file} bands. Write it as (galaxies, bands)."
            )
        return values if self._bands.chosen is None else values[:, self._bands.chosen]


def _whole_ids(path: Path, ids: np.ndarray) -> np.ndarray:
    """Bring galaxy ids (N,) to int64, each exactly.

    Raises:
        GalgenError: if one is not a whole number, or so large that its last digits may be lost.
    """
    if ids.dtype.kind == "f":
        bad = ~(np.isfinite(ids) & (ids == np.rint(ids)))
        why = "no whole numbers"
        if not bad.any():  # beyond it, neighbouring numbers share one float
            bad = np.abs(ids) >= 2.0 ** (np.finfo(ids.dtype).nmant + 1)
            why = f"too large for {ids.dtype} to tell neighbouring ids apart"
    elif ids.dtype.kind in "iu":
        bad, why = ids.astype(np.int64) != ids, "larger than int64 holds, 2^63 - 1"
        bad |= (ids.astype(np.int64) < 0) != (ids < 0)
    else:
        bad, why = np.ones(len(ids), bool), f"of the type {ids.dtype}"
    if bad.any():
        row = np.flatnonzero(bad)[0]
        raise GalgenError(
            f"{path}: {bad.sum()} values of 'galaxy_id' are {why}; the first is {ids[row]} in row "
            f"{row} (counted from 0). Write the ids as int64; augmented copies of a galaxy share "
            "one."
        )
    return ids.astype(np.int64)


def middle(side: int, size: int) -> slice:
    """Return where a crop of some size lies on the side of a stamp, around its centre, px."""
    start = (side - size) // 2
    return slice(start, start + size)


def known_redshifts(redshift: np.ndarray) -> np.ndarray:
    """Turn a catalogue's marks of unknown redshifts, (N,), into NaN; float32."""
    known = (redshift > 0) & (redshift <= LARGEST_REDSHIFT)
    return np.where(known, redshift, np.nan).astype(np.float32)


def read_left_out(path: Path) -> dict[str, str]:
    """Read which galaxies a stamp file leaves out, and why."""
    with reading(path), h5py.File(path) as file:
        if "left_out" not in file:
            return {}
        names, reasons = (file[f"left_out/{name}"].asstr()[:] for name in ("galaxy", "reason"))
    return dict(zip(names, reasons, strict=True))


def _plain(value):
    """Turn an attribute into what JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value if isinstance(value, str | int | float | list) else str(value)
