"""The files that catalogues are written to: FITS, HDF5, Zarr."""

import os
import re
import textwrap
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits

from galgen.catalogues.partial import RowFile, reserve, sync_file
from galgen.catalogues.rows import Catalogue
from galgen.data.stamp_file import SCHEMA
from galgen.data.stamp_writing import Sink
from galgen.data.surveys.photometry import parse_unit

FITS_BLOCK = 2880
CARD = 72
"""Characters of a comment in a FITS header."""
SHARD_BYTES = 2**24
"""Size of a Zarr shard, about."""
CHUNK = 16
"""Galaxies in a chunk of a shard."""
TABLE_CHUNK = 65536
"""Rows in a chunk of a Zarr column."""

HEADER = {
    "survey": ("SURVEY", "the model learned from"),
    "recipe": ("RECIPE", ""),
    "run": ("RUN", "galgen run"),
    "model": ("MODEL", ""),
    "config_sha256": ("CONFHASH", "SHA-256 of its config.yaml"),
    "weights_sha256": ("WGTHASH", "SHA-256 of its checkpoint"),
    "seed": ("SEED", "of the galaxies"),
    "start": ("START", "number of the first galaxy"),
    "prior": ("PRIOR", "of the latents"),
    "prior_sha256": ("PRIHASH", "SHA-256 of the prior"),
    "conditions_sha256": ("CONDHASH", "SHA-256 of the learned conditions"),
    "unit": ("BUNIT", ""),
    "versions": ("VERSIONS", ""),
    "edge": ("EDGE", "level at the edge of each image"),
    "psf": ("PSF", "that the images are seen through"),
    "conditions": ("ASKED", "conditions that galaxies were asked for by"),
    "band": ("BAND", ""),
    "pixel_scale": ("PIXSCALE", "arcsec"),
    "zero_point": ("MAGZERO", "AB magnitude of one unit"),
}
"""Cards of a FITS header for the attributes of a catalogue."""


class OneFile:
    """A catalogue in one file, whose rows have their places from the beginning."""

    file: RowFile

    def sync(self) -> None:
        """Have the system put on disk what was written."""
        self.file.sync()

    def close(self) -> None:
        """Close the file, which is complete."""
        self.file.sync()
        self.file.close()


class FitsCatalogue(OneFile):
    """A cube of images and a table, in one FITS file.

    Args:
        folder: where the file is written.
        catalogue: what goes into it.
    """

    name = "data.fits"

    def __init__(self, folder: Path, catalogue: Catalogue):
        self.path, side = folder / self.name, catalogue.size
        image = np.dtype((">f4", (side, side)))
        row = np.dtype([(name, f">{column.kind}") for name, column in catalogue.columns.items()])
        cube, table = cube_header(catalogue), table_header(catalogue, row)
        headers = [header.tostring().encode("ascii") for header in (cube, table)]
        start = len(headers[0])
        second = start + padded(catalogue.n * image.itemsize)
        if not self.path.exists():
            draft = folder / "draft"
            draft.write_bytes(headers[0])
            reserve(draft, second + len(headers[1]) + padded(catalogue.n * row.itemsize))
            with open(draft, "rb+") as file:
                file.seek(second)
                file.write(headers[1])
            os.replace(draft, self.path)
        regions = {"image": (start, image), "table": (second + len(headers[1]), row)}
        self.file = RowFile(self.path, regions)

    def write(self, first: int, images: np.ndarray, table: np.ndarray) -> int:
        """Write images (n, H, W) and table (n,) as rows from number `first` on.

        Returns:
            The number of rows of the catalogue that are written now.
        """
        self.file.write("image", first, images)
        self.file.write("table", first, table)
        return first + len(images)


class Hdf5Catalogue(OneFile):
    """A stamp file, which can be trained on.

    Args:
        folder: where the file is written.
        catalogue: what goes into it.
    """

    name = "data.h5"

    def __init__(self, folder: Path, catalogue: Catalogue):
        self.path, side = folder / self.name, catalogue.size
        types = {"image": np.dtype(("<f4", (side, side)))}
        types |= {name: np.dtype(f"<{column.kind}") for name, column in catalogue.columns.items()}
        if not self.path.exists():
            draft = folder / "draft"
            with Sink(draft) as sink:
                with h5py.File(sink, "w") as file:
                    for name, dtype in types.items():
                        reserve_dataset(file, name, (catalogue.n, *dtype.shape), dtype.base)
                        file[name].attrs.update(described(catalogue, name))
                    file.attrs.update({"galgen_schema": SCHEMA, **catalogue.attributes()})
                sink.check()
            reserve(draft, draft.stat().st_size)
            os.replace(draft, self.path)
        with h5py.File(self.path) as file:
            regions = {name: (file[name].id.get_offset(), types[name]) for name in types}
        self.file = RowFile(self.path, regions)

    def write(self, first: int, images: np.ndarray, table: np.ndarray) -> int:
        """Write images (n, H, W) and table (n,) as rows from number `first` on.

        Returns:
            The number of rows of the catalogue that are written now.
        """
        self.file.write("image", first, images)
        for name in table.dtype.names:
            self.file.write(name, first, table[name])
        return first + len(images)


class ZarrCatalogue:
    """A Zarr group, format 3: a sharded array of images, and an array for each column.

    Args:
        folder: where the group is written.
        catalogue: what goes into it.
    """

    name = "data.zarr"

    def __init__(self, folder: Path, catalogue: Catalogue):
        import zarr  # of an extra

        self.path, self.n, side = folder / self.name, catalogue.n, catalogue.size
        self.catalogue = catalogue
        shard = max(1, SHARD_BYTES // (4 * side**2 * CHUNK)) * CHUNK
        self.shard, self.waiting, self.unsynced = shard, [], []
        row = np.dtype([(name, f"<{column.kind}") for name, column in catalogue.columns.items()])
        table = folder / "table"
        if not self.path.exists():
            table.touch()
            reserve(table, catalogue.n * row.itemsize)
            draft = folder / "draft.zarr"
            group = zarr.open_group(draft, mode="w", zarr_format=3)
            group.attrs.update({"galgen_schema": SCHEMA, **catalogue.attributes()})
            group.create_array(
                "image",
                shape=(catalogue.n, side, side),
                dtype="float32",
                chunks=(CHUNK, side, side),
                shards=(shard, side, side),
                attributes=described(catalogue, "image"),
            )
            os.replace(draft, self.path)
        self.group = zarr.open_group(self.path, mode="r+")
        self.table = RowFile(table, {"table": (0, row)})
        self.columns = row

    def write(self, first: int, images: np.ndarray, table: np.ndarray) -> int:
        """Take images (n, H, W) and table (n,) from number `first` on, and write whole shards.

        Returns:
            The number of rows of the catalogue that are written now.
        """
        self.table.write("table", first, table)
        self.waiting.append(images)
        end = first + len(images)
        start = end - sum(map(len, self.waiting))
        stop = end if end == self.n else end - end % self.shard
        if stop > start:
            images = np.concatenate(self.waiting)
            for begin in range(start, stop, self.shard):
                part = slice(begin, min(begin + self.shard, stop))
                self.group["image"][part] = images[part.start - start : part.stop - start]
                self.unsynced.append(f"image/c/{begin // self.shard}/0/0")
            self.waiting = [images[stop - start :]]
        return stop

    def sync(self) -> None:
        """Have the system put on disk what was written."""
        self.table.sync()
        for name in self.unsynced:
            sync_file(self.path / name)
        self.unsynced = []

    def close(self) -> None:
        """Write the columns; the group is complete then."""
        self.table.close()
        rows = np.memmap(self.table.path, self.columns, "r")
        for name in self.columns.names:
            column = self.group.create_array(
                name,
                shape=(self.n,),
                dtype=self.columns[name].str[1:],
                chunks=(min(self.n, TABLE_CHUNK),),
                attributes=described(self.catalogue, name),
                overwrite=True,
            )
            for start in range(0, self.n, TABLE_CHUNK):
                part = slice(start, min(start + TABLE_CHUNK, self.n))
                column[part] = rows[name][part]
        for path in self.path.rglob("*"):
            if path.is_file():
                sync_file(path)


FORMATS = {
    ".fits": FitsCatalogue,
    ".h5": Hdf5Catalogue,
    ".hdf5": Hdf5Catalogue,
    ".zarr": ZarrCatalogue,
}
"""By the ending of the file."""


def cube_header(catalogue: Catalogue) -> fits.Header:
    """Make the header of the images, with the pixel scale as a WCS around the centre of each."""
    header = fits.PrimaryHDU().header
    header["BITPIX"], header["NAXIS"] = -32, 3
    for axis, length in enumerate((catalogue.size, catalogue.size, catalogue.n), start=1):
        header.set(f"NAXIS{axis}", length, after=f"NAXIS{axis - 1}" if axis > 1 else "NAXIS")
    attributes = catalogue.attributes()
    if "pixel_scale" in attributes:
        for axis, (name, sign) in enumerate((("RA---TAN", -1), ("DEC--TAN", 1)), start=1):
            header[f"CTYPE{axis}"] = name
            header[f"CRVAL{axis}"] = (0.0, "arbitrary: the scale alone is meant")
            header[f"CRPIX{axis}"] = (catalogue.size + 1) / 2
            header[f"CDELT{axis}"] = sign * attributes["pixel_scale"] / 3600
            header[f"CUNIT{axis}"] = "deg"
        header["CTYPE3"] = ("GALAXY", "number of the galaxy")
        header["CRVAL3"], header["CRPIX3"], header["CDELT3"] = catalogue.start, 1.0, 1.0
    for name, value in attributes.items():
        card, comment = HEADER[name]
        if card == "BUNIT":
            value = fits_unit(value)
        elif isinstance(value, str):
            value = fits_text(value)
        header[card] = (value, comment if len(str(value)) + len(comment) < 60 else "")
    unit = "" if header["BUNIT"] else f"; its unit is {catalogue.unit}, which FITS does not know"
    told = [f"Each image: {catalogue.image_description}{unit}.", *catalogue.cautions]
    for line in (line for text in told for line in textwrap.wrap(text, CARD)):
        header["COMMENT"] = fits_text(line)
    return header


def table_header(catalogue: Catalogue, row: np.dtype) -> fits.Header:
    """Make the header of the table, with a unit (TUNIT) and description (TCOMM) of each column."""
    columns = [
        fits.Column(name, {"i8": "K", "f4": "E"}[column.kind], unit=fits_unit(column.unit) or None)
        for name, column in catalogue.columns.items()
    ]
    header = fits.BinTableHDU.from_columns(columns, nrows=1, name="GALAXIES").header
    header["NAXIS1"], header["NAXIS2"] = row.itemsize, catalogue.n
    for number, column in enumerate(catalogue.columns.values(), start=1):
        header[f"TCOMM{number}"] = fits_text(column.description)
    return header


def described(catalogue: Catalogue, name: str) -> dict[str, str]:
    """Return unit and description of the images or of a column."""
    if name == "image":
        told = " ".join([f"{catalogue.image_description}.", *catalogue.cautions])
        return {"unit": catalogue.unit, "description": told}
    column = catalogue.columns[name]
    return {"unit": column.unit, "description": column.description}


def fits_unit(unit: str) -> str:
    """Write a unit as FITS has it; nothing of one that it does not know."""
    parsed = parse_unit(re.sub(r"(?i)\bdns?\b", "adu", unit))
    try:
        return "" if parsed is None else parsed.to_string("fits")
    except ValueError:
        return ""


def fits_text(text: str) -> str:
    """Write a text as FITS allows it, in ASCII."""
    return text.encode("ascii", "replace").decode()


def padded(size: int) -> int:
    """Round a size up to whole FITS blocks, bytes."""
    return -(-size // FITS_BLOCK) * FITS_BLOCK


def reserve_dataset(file: h5py.File, name: str, shape: tuple, dtype: np.dtype) -> None:
    """Make a contiguous data set whose place in the file stands from the beginning."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)  # the same catalogue is the same file
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(dtype)
    h5py.h5d.create(file.id, name.encode(), kind, space, settings)
