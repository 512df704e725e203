"""The stamp file: galaxy images and their catalogue in one HDF5 file.

Three layouts are read: galgen's own, written by `write_stamps` and marked by the attribute
`galgen_schema`; and the original project's two, a 3-D data set of peak-normalised images alone
or beside a 1-D one of redshifts, told apart by rank.
"""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from galgen.errors import GalgenError
from galgen.files import written_whole

SCHEMA = 1
"""Version of galgen's own layout, in the attribute `galgen_schema`."""

NUMBERS = ("galaxy_id", "redshift", "noise_variance", "background")
"""Columns that trainings read."""


@dataclass
class Batch:
    """A batch of N galaxies as models and likelihoods see it."""

    image: Tensor
    """(N, H, W), float32."""
    index: Tensor
    """(N,), row in the stamp file."""
    redshift: Tensor | None = None
    """(N,)"""
    noise_variance: Tensor | None = None
    """(N,), variance of a pixel's noise, in the file's unit squared."""
    background: Tensor | None = None
    """(N,), level that the peak transform subtracts, in the file's unit."""
    psf: Tensor | None = None
    """(N, h, w), sums to 1."""
    weight: Tensor | None = None
    """(N, H, W)"""


class StampFile:
    """An opened stamp file: its columns in memory, its images on disk.

    Args:
        path: HDF5 file in one of the three layouts.

    Attributes:
        columns: arrays (N,) by name; `galaxy_id` where the file has parent ids.
        attrs: the file's attributes (survey, band, pixel_scale in arcsec, zero_point, ...).
        size: side of the stamps, px.
        peak_normalised: whether pixels lie in [0, 1] already, as in the original layouts.

    Raises:
        GalgenError: if the file is missing, damaged, or in none of the layouts.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise GalgenError(f"{self.path}: there is no such file")
        try:
            with h5py.File(self.path) as file:
                self._read_header(file)
        except OSError as error:
            raise GalgenError(
                f"{self.path}: cannot be read as HDF5, it is damaged, truncated or of another "
                f"format ({error})"
            ) from error
        self._file, self._owner = None, None

    def __len__(self) -> int:
        return self._n

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None, "_owner": None}

    def read(self, rows: slice | np.ndarray, size: int) -> np.ndarray:
        """Read images, cropped around their centre.

        Args:
            rows: a slice, or row numbers in any order.
            size: side of the crop, px.

        Returns:
            Array (len(rows), size, size), float32.

        Raises:
            GalgenError: if a pixel is not finite, or the file is damaged.
        """
        crop = slice((self.size - size) // 2, (self.size - size) // 2 + size)
        images = self._images()
        try:
            if isinstance(rows, slice):
                stamps = images[rows, crop, crop].astype(np.float32, copy=False)
            else:
                stamps = np.empty((len(rows), size, size), np.float32)
                for position in np.argsort(rows, kind="stable"):
                    stamps[position] = images[rows[position], crop, crop]
        except OSError as error:
            raise GalgenError(f"{self.path}: damaged or truncated, {error}") from error
        bad = ~np.isfinite(stamps).all(axis=(1, 2))
        if bad.any():
            numbers = np.arange(len(self))[rows][bad]
            raise GalgenError(
                f"{self.path}: {len(numbers)} stamps have NaN or infinite pixels, the first is row "
                f"{numbers[0]} (counted from 0); remove them from the file"
            )
        return stamps

    def close(self) -> None:
        """Let go of the file until it is read again."""
        if self._owner == os.getpid():
            self._file.close()
        self._file, self._owner = None, None

    def _images(self) -> h5py.Dataset:
        """Open the image data set, once in each process (an open file must not be forked)."""
        if self._owner != os.getpid():
            self._file, self._owner = h5py.File(self.path), os.getpid()
        return self._file[self._image_name]

    def _read_header(self, file: h5py.File) -> None:
        datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        self.attrs = {name: _plain(value) for name, value in file.attrs.items()}
        version = self.attrs.get("galgen_schema")
        if version is not None and not isinstance(version, int):
            raise GalgenError(f"{self.path}: its galgen_schema is {version!r}, not a number")
        if version is not None and version > SCHEMA:
            raise GalgenError(
                f"{self.path}: written with schema {version}, this galgen reads up to {SCHEMA}; "
                "install a newer galgen"
            )
        self.peak_normalised = version is None
        if self.peak_normalised:
            stacks = [name for name, item in datasets.items() if item.ndim == 3]
        else:
            stacks = [name for name in datasets if name == "image"]
        if len(stacks) != 1:
            raise GalgenError(
                f"{self.path}: a stamp file has one data set of images, of rank 3 "
                f"(galaxies, height, width); this one has {len(stacks) or 'none'}"
            )
        self._image_name = stacks[0]
        image = datasets.pop(stacks[0])
        self._n, height, width = image.shape
        if not np.issubdtype(image.dtype, np.number):
            raise GalgenError(f"{self.path}: data set '{image.name}' does not hold numbers")
        if self._n == 0:
            raise GalgenError(f"{self.path}: the survey is empty, it has no stamps")
        if height != width:
            raise GalgenError(f"{self.path}: stamps must be square, these are {height} x {width}")
        self.size = height
        flat = {name: item for name, item in datasets.items() if item.ndim == 1}
        if self.peak_normalised and len(flat) > 1:
            raise GalgenError(
                f"{self.path}: beside the images there are {len(flat)} data sets of rank 1 "
                f"({', '.join(flat)}); which one is the redshift cannot be told"
            )
        self.columns = {}
        for name, item in flat.items():
            column = "redshift" if self.peak_normalised else name
            if len(item) != self._n:
                raise GalgenError(
                    f"{self.path}: {self._n} stamps but {len(item)} values in '{name}'"
                )
            if column in NUMBERS and not np.issubdtype(item.dtype, np.number):
                raise GalgenError(f"{self.path}: '{name}' does not hold numbers")
            self.columns[column] = item[:]


def write_stamps(
    path: Path,
    blocks: Iterable[tuple[np.ndarray, dict[str, np.ndarray]]],
    attrs: dict,
    psf: np.ndarray | None = None,
) -> None:
    """Write a stamp file block by block; it appears under its name when it is complete.

    Args:
        path: the file; its folder is made.
        blocks: pairs of images (n, H, W), counts/s, and columns {name: (n,)}.
        attrs: survey, band, pixel_scale (arcsec), zero_point, recipe, versions, ...
        psf: PSF images (M, h, w), each of sum 1; the column `psf_index` refers to them.
    """
    with written_whole(path) as part, _Sink(part) as sink:
        with h5py.File(sink, "w") as file:
            columns: dict[str, list[np.ndarray]] = {}
            for images, block in blocks:
                _append_images(file, images)
                sink.check()
                for name, values in block.items():
                    columns.setdefault(name, []).append(values)
            for name, values in columns.items():
                file[name] = np.concatenate(values)
            if psf is not None:
                file["psf"] = psf.astype(np.float32)
            file.attrs.update({"galgen_schema": SCHEMA, **attrs})
        sink.check()


class _Sink(io.FileIO):
    """File for h5py that keeps a write error for `check` instead of raising it.

    HDF5 1.14 writes what is left when it closes a file, and crashes when that fails again, as it
    does on a full disk.
    """

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data) -> int:
        """Write all of data, or remember why that failed."""
        rest = memoryview(data).cast("B")
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self._remember(error)
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file, or remember why that failed."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._remember(error)
            return size or 0

    def _remember(self, error: OSError) -> None:
        self.error = OSError(error.errno, error.strerror, str(self.name))

    def check(self) -> None:
        """Raise the write error, if there was one."""
        if self.error:
            raise self.error


def _append_images(file: h5py.File, images: np.ndarray) -> None:
    n, height, width = images.shape
    if "image" not in file:
        file.create_dataset(
            "image",
            shape=(0, height, width),
            maxshape=(None, height, width),
            dtype=np.float32,
            chunks=(1, height, width),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
    stack = file["image"]
    stack.resize(len(stack) + n, axis=0)
    stack[-n:] = images


def _plain(value):
    """Turn an attribute into what JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value if isinstance(value, str | int | float | list) else str(value)
