"""The stamp file: galaxy images and their catalogue in one HDF5 file.

Three layouts are read: galgen's own, which stamp_writing.py writes, marked by the attribute
`galgen_schema`; and the original project's two, a 3-D data set of peak-normalised images alone
or beside a 1-D one of redshifts, distinguished by rank. In galgen's own the images may lie in other
files, the shards of a large survey, that an HDF5 virtual data set joins.
"""

import json
import os
from pathlib import Path

import h5py
import numpy as np

from galgen.errors import GalgenError
from galgen.files import is_file, reading

SCHEMA = 1
"""Version of galgen's own layout, in the attribute `galgen_schema`."""

LARGEST_REDSHIFT = 9
"""Catalogues mark failed redshifts by numbers beyond it, or by zero and negative ones."""

NUMBERS = ("galaxy_id", "redshift", "noise_variance", "background")
"""Columns that trainings read."""


class StampFile:
    """An opened stamp file: its columns in memory, its images on disk.

    Args:
        path: HDF5 file in one of the three layouts.

    Attributes:
        columns: arrays (N,) by name; `galaxy_id` where the file has parent ids.
        stacks: shapes of the data sets of rank 3 by name, `image` among them.
        attrs: the file's attributes (survey, band, pixel_scale in arcsec, zero_point, ...).
        size: side of the stamps, px.
        shards: the files that the images lie in, where they are not in this one.
        peak_normalised: whether pixels lie in [0, 1] already, as in the original layouts.

    Raises:
        GalgenError: if the file is missing, damaged, or in none of the layouts.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not is_file(self.path):
            raise GalgenError(f"{self.path}: there is no such file.")
        try:
            with reading(self.path), h5py.File(self.path) as file:
                self._read_header(file)
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
            Array (len(rows), size, size), float32.

        Raises:
            GalgenError: if a pixel is not finite, or the file is damaged.
        """
        crop = tuple(middle(side, size) for side in self.stacks[name][1:])
        try:
            with reading(self.path):
                stack = self._stack(name)
                if isinstance(rows, slice):
                    stamps = self._as_float32(stack[(rows, *crop)], rows, name)
                else:
                    stamps = np.empty((len(rows), size, size), np.float32)
                    for position in np.argsort(rows, kind="stable"):
                        row = int(rows[position])
                        pixels = stack[row][crop][None]
                        stamps[position] = self._as_float32(pixels, slice(row, row + 1), name)[0]
        except OSError as error:
            raise GalgenError(f"{self.path}: damaged or truncated, {error}") from error
        bad = ~np.isfinite(stamps).all(axis=(1, 2))
        if bad.any():
            numbers = np.arange(self.stacks[name][0])[rows][bad]
            raise GalgenError(
                f"{self.path}: {len(numbers)} stamps have NaN or infinite pixels, the first is row "
                f"{numbers[0]} of '{name}' (counted from 0). Remove them from the file."
            )
        return stamps

    def _as_float32(self, pixels: np.ndarray, rows: slice, name: str) -> np.ndarray:
        """Cast pixels (n, H, W) to float32.

        Raises:
            GalgenError: if float32 cannot hold them: as zero, infinity, or too few digits.
        """
        with np.errstate(over="ignore", under="ignore"):
            cast = pixels.astype(np.float32, copy=False)
        if pixels.dtype.itemsize <= 4:
            return cast
        too_large = np.isfinite(pixels) & ~np.isfinite(cast)
        # Losing a tiny number beside a galaxy's light is harmless; losing all of its light is not.
        dark = np.abs(cast).max((1, 2), initial=0) < np.finfo(np.float32).tiny
        lost = too_large.any((1, 2)) | (dark & (pixels != 0).any((1, 2)))
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

    def close(self) -> None:
        """Let go of the file until it is read again."""
        if self._owner == os.getpid():
            self._file.close()
        self._file, self._owner = None, None

    def _stack(self, name: str) -> h5py.Dataset:
        """Open a data set, the file once in each process (an open file must not be forked)."""
        if self._owner != os.getpid():
            self._file, self._owner = h5py.File(self.path), os.getpid()
        return self._file[self._image_name if name == "image" else name]

    def _read_header(self, file: h5py.File) -> None:
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
        if len(stacks) != 1:
            raise GalgenError(
                f"{self.path}: a stamp file has one data set of images, of rank 3 "
                f"(galaxies, height, width); this one has {len(stacks) or 'none'}."
            )
        self._image_name = stacks[0]
        image = datasets.pop(stacks[0])
        self.stacks = {n: item.shape for n, item in datasets.items() if item.ndim == 3}
        self.stacks["image"] = image.shape
        self.shards = _check_shards(self.path, file)
        self._n, height, width = image.shape
        if not np.issubdtype(image.dtype, np.number):
            raise GalgenError(f"{self.path}: data set '{image.name}' does not hold numbers.")
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
            if item.ndim == 1 or (item.ndim == 2 and item.shape[1] == 1)
        }
        self._read_columns(columns)

    def _read_columns(self, flat: dict[str, h5py.Dataset]) -> None:
        others = [name for name in flat if name != "galaxy_id"]
        if self.peak_normalised and len(others) > 1:
            raise GalgenError(
                f"{self.path}: beside the images there are {len(others)} data sets of rank 1 "
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
            values = item[:].reshape(-1)
            self.columns[column] = _whole_ids(self.path, values) if name == "galaxy_id" else values


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


def shard_identity(shard: h5py.File) -> list:
    """Return the identity of a shard: its recipe, its candidates and its number of stamps."""
    return [
        shard.attrs.get("recipe"),
        shard.attrs.get("candidates"),
        len(shard["image"]) if "image" in shard else 0,
    ]


def _check_shards(path: Path, file: h5py.File) -> list[Path]:
    """Check that the files of virtual data sets are there; HDF5 would give NaN for them.

    Returns:
        The files; none where no data set is virtual.

    Raises:
        GalgenError: if one is missing, damaged, too short or another than was joined.
    """
    mapped: dict[str, dict[str, int]] = {}  # rows of the data sets in each shard
    for item in file.values():
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            for source in item.virtual_sources():
                first, last = source.vspace.get_select_bounds()
                rows = mapped.setdefault(source.file_name, {})
                rows[source.dset_name] = last[0] - first[0] + 1
    joined = json.loads(file["joined"].asstr()[()]) if "joined" in file else {}
    folder = path.resolve().parent
    for name, rows in mapped.items():
        _check_shard(path, folder / name, rows, joined.get(name))
    return [folder / name for name in mapped]


def _check_shard(path: Path, shard: Path, rows: dict[str, int], identity: list | None) -> None:
    if not is_file(shard):
        raise GalgenError(
            f"{path}: its shard {shard} is missing. Keep both together, or prepare it again."
        )
    try:
        with reading(shard), h5py.File(shard) as file:
            found, least = shard_identity(file), min(len(file[name]) - rows[name] for name in rows)
            stamps = min(len(file[name]) for name in rows)
    except (OSError, KeyError) as error:
        raise GalgenError(f"{shard}: damaged or truncated ({error}). Prepare it again.") from error
    if least < 0:
        raise GalgenError(f"{shard}: has only {stamps} stamps. Prepare {path} again.")
    if identity is not None and found != identity:
        raise GalgenError(
            f"{shard}: this is not the shard that {path} was joined from. Prepare {path} again."
        )


def _plain(value):
    """Turn an attribute into what JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value if isinstance(value, str | int | float | list) else str(value)
