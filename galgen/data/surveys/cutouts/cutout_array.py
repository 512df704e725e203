"""Cutouts in one array: a NumPy file, an HDF5 data set, a Zarr array or a FITS cube."""

import hashlib
import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from galgen.config.wording import quoted
from galgen.data.surveys.cutouts.calibration import KEYWORDS
from galgen.data.surveys.cutouts.cutout_files import FITS, Unusable, gone
from galgen.data.surveys.fits_files import is_gzip
from galgen.errors import GalgenError
from galgen.files import reading

HDF5 = (".h5", ".hdf5", ".hdf")


class CutoutArray:
    """Cutouts in one array, a row a galaxy; it is opened anew in each process.

    Args:
        key: under which the user gives it, for messages.
        path: `.npy`, `.npz`, HDF5, Zarr (a folder) or FITS.
        part: name of the array, where the file has several; of a FITS file the extension.
        ids: names of the galaxies, (N,); their row numbers where None.

    Attributes:
        shape: of the array.
        places: the rows by the galaxy's name.

    Raises:
        GalgenError: if the file cannot be read, has several arrays, or too many or few axes.
    """

    def __init__(self, key: str, path: Path, part: str | None, ids: np.ndarray | None = None):
        self.key, self.path, self.part, self.pattern = key, path, part, str(path)
        self._array, self._cards = None, ()
        self.shape = tuple(self._opened().shape)
        if len(self.shape) not in (3, 4):
            raise GalgenError(
                f"{key}={path}: its array has the shape {self.shape}. Give one of the shape "
                "(galaxies, height, width) or (galaxies, bands, height, width)"
                + (", or a folder of files." if len(self.shape) == 2 else ".")
            )
        if not self.shape[0]:
            raise GalgenError(f"{key}={path}: its array has no rows. Give one with galaxies.")
        if len(self.shape) == 3 and self.shape[0] == self.shape[1] != self.shape[2]:
            raise GalgenError(
                f"{key}={path}: by its shape, {self.shape}, the galaxies seem to be the last axis. "
                "Save it with np.moveaxis(array, -1, 0)."
            )
        if ids is not None and len(ids) != self.shape[0]:
            raise GalgenError(
                f"cutouts.ids: it has {len(ids)} values, and {path} has {self.shape[0]} cutouts. "
                "Give one for each."
            )
        names = map(str, range(self.shape[0])) if ids is None else ids
        self.places = {name: row for row, name in enumerate(names)}
        if len(self.places) < self.shape[0]:
            seen: set[str] = set()
            first = next(name for name in ids if name in seen or seen.add(name))
            raise GalgenError(f"cutouts.ids: {first} stands in it twice. Give each galaxy its own.")

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_array": None}

    def inputs(self) -> list[Path]:
        """Return the file."""
        return [self.path]

    def read(self, row: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """Read a cutout, and the cards of the header that say how it is calibrated.

        Raises:
            Unusable: if it does not hold numbers, or is damaged.
            Unreadable: if the file has gone, or the system does not give it.
        """
        if not self.path.exists():  # Zarr would take what has gone for its fill value
            raise gone(self.key, self.pattern, self.path)
        try:
            with reading(self.path):
                pixels = np.asarray(self._opened()[row])
        except GalgenError:
            raise
        except Exception as error:  # damage shows in many ways
            raise Unusable("its part of the file is damaged") from error
        if pixels.dtype.kind not in "fiub":
            raise Unusable("it does not hold numbers")
        return pixels, self._cards

    def identity(self) -> str:
        """Return a hash of the name, size and time of the file; its content is not read."""
        files = [self.path]
        if self.path.is_dir():
            files = sorted(path for path in self.path.rglob("*") if path.is_file())
        digest = hashlib.sha256(str(self.part).encode())
        for path in files:
            found = os.stat(path)
            line = f"{path.relative_to(self.path.parent)} {found.st_size} {found.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _opened(self):
        if self._array is None:
            if self.path.name.lower().endswith((*FITS, *(f"{end}.gz" for end in FITS))):
                self._array, self._cards = _open_cube(self.key, self.path, self.part)
            else:
                self._array = open_array(self.key, self.path, self.part)
        return self._array


def is_array(path: Path) -> bool:
    """Tell whether a path is a file, or a folder that is a Zarr array or group."""
    markers = ("zarr.json", ".zarray", ".zgroup")
    return path.is_file() or any((path / marker).is_file() for marker in markers)


def open_array(key: str, path: Path, part: str | None):
    """Open an array that is read by its rows.

    Args:
        key: under which the user gives it, for messages.
        path: `.npy`, `.npz`, HDF5, or Zarr (a folder).
        part: name of the array, where there are several.

    Returns:
        A NumPy array in memory or on disk, or an HDF5 or Zarr one.

    Raises:
        GalgenError: if it cannot be read, or if one of several arrays could be meant.
    """
    try:
        with reading(f"{key}={path}"):
            return _open(key, path, part)
    except (GalgenError, ModuleNotFoundError):
        raise
    except Exception as error:  # each format has its own
        why = f"the file cannot be read ({error}). Fetch it again"
        if any(sign in str(error) for sign in ("allow_pickle", "Python objects")):
            why = "it holds Python objects, which galgen does not load. Save plain numbers"
        raise GalgenError(f"{key}={path}: {why}.") from error


def _open(key: str, path: Path, part: str | None):
    if path.is_dir():
        return _zarr(key, path, part)
    if path.suffix.lower() in HDF5:
        return _hdf5(key, path, part)
    if path.suffix.lower() == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if path.suffix.lower() == ".npz":
        file = np.load(path, allow_pickle=False)
        names = file.files if part is None and len(file.files) > 1 else [part or file.files[0]]
        return _chosen(key, path, part, {n: file[n] for n in names if n in file.files})
    raise GalgenError(
        f"{key}={path}: galgen does not know this format. Give FITS, .npy, .npz, HDF5 or Zarr."
    )


def _hdf5(key: str, path: Path, part: str | None):
    import h5py

    found = {}
    h5py.File(path).visititems(
        lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    return _chosen(key, path, part, found)


def _zarr(key: str, path: Path, part: str | None):
    import zarr

    root = zarr.open(path, mode="r")
    if isinstance(root, zarr.Array):
        return root
    return _chosen(key, path, part, dict(root.arrays()))


def _chosen(key: str, path: Path, part: str | None, found: dict):
    """Choose an array: as named, or the only one of cutouts."""
    if part is not None:
        part = part.strip("/")
        if part not in found:
            raise GalgenError(
                f"{key}={path}[{part}]: there is no such array. Give one of "
                f"{', '.join(found) or 'another file'}."
            )
        return found[part]
    fitting = [name for name, item in found.items() if len(item.shape) in (3, 4)]
    fitting = fitting or list(found)
    if not found:
        raise GalgenError(f"{key}={path}: the file has no array. Give one that has.")
    if len(fitting) != 1:
        listed = ", ".join(f"{name} {tuple(item.shape)}" for name, item in found.items())
        raise GalgenError(
            f"{key}={path}: there are several arrays: {listed}. Name one, "
            f"{key}={quoted(f'{path}[{fitting[0]}]')}."
        )
    return found[fitting[0]]


def _open_cube(key: str, path: Path, part: str | None) -> tuple[object, tuple[str, ...]]:
    """Open a FITS cube; return what reads its rows, and the cards of its calibration."""
    try:
        with reading(f"{key}={path}"):
            hdus = fits.open(path, memmap=False)
        if part is None:
            images = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 2] or [
                hdu for hdu in hdus if hdu.is_image and hdu.shape
            ]
        else:
            images = [hdus[int(part) if part.isdigit() else part]]
    except GalgenError:
        raise
    except Exception as error:
        raise GalgenError(
            f"{key}={path}: this is no whole FITS file, or lacks the extension ({error}). Give "
            "another."
        ) from error
    if not images:
        raise GalgenError(f"{key}={path}: the file has no image. Give one that has.")
    if len(images) > 1:
        first = images[0].name or hdus.index(images[0])
        raise GalgenError(
            f"{key}={path}: it has {len(images)} images that could be meant. Name one, "
            f"{key}={quoted(f'{path}[{first}]')}, or save a file a galaxy."
        )
    headers = (images[0].header, hdus[0].header)
    cards = tuple(c.image for header in headers for c in header.cards if c.keyword in KEYWORDS)
    if is_gzip(path):  # a row would be unpacked from the file's beginning
        return images[0].data, cards
    return (images[0].section if len(images[0].shape) > 2 else images[0].data), cards
