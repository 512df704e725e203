"""The files that catalogues are written to: FITS, HDF5, Zarr."""

import re
import textwrap
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits

from galgen.catalogues.rows import Catalogue
from galgen.catalogues.shards import CHUNK, Shards
from galgen.data.stamp_file import SCHEMA
from galgen.data.stamp_writing import Sink
from galgen.data.surveys.photometry import parse_unit
from galgen.files import folder_made_whole, uninterrupted, written_whole

CARD = 72
"""Characters of a comment in a FITS header."""
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
    "psf_sha256": ("PSFHASH", "SHA-256 of its file"),
    "noise": ("NOISE", "in the images"),
    "conditions": ("ASKED", "requested conditions"),
    "bands": ("BAND", ""),
    "reference_band": ("REFBAND", "of sizes and of requested magnitudes"),
    "pixel_scale": ("PIXSCALE", "arcsec"),
    "zero_point": ("MAGZERO", "AB magnitude of one unit"),
}
"""Cards of a FITS header for the attributes of a catalogue; of several bands, BAND1, BAND2, ..."""


def write_fits(path: Path, catalogue: Catalogue, shards: Shards) -> None:
    """Write a cube of images and a table, in one FITS file.

    Args:
        path: the file; it appears when it is complete.
        catalogue: its content.
        shards: its galaxies.
    """
    row = np.dtype([(name, f">{c.kind}", c.shape) for name, c in catalogue.columns.items()])
    with written_whole(path) as part:
        with fits.StreamingHDU(str(part), cube_header(catalogue)) as cube:
            for _, shard in shards.read():
                cube.write(shard["image"])
        with fits.StreamingHDU(str(part), table_header(catalogue, row)) as table:
            for _, shard in shards.read():
                table.write(shard[list(row.names)].astype(row).view("u1"))


def write_hdf5(path: Path, catalogue: Catalogue, shards: Shards) -> None:
    """Write a stamp file, which can be trained on; the arguments are those of `write_fits`."""
    with written_whole(path) as part, Sink(part) as sink:
        with h5py.File(sink, "w") as file:
            for name in shards.row.names:
                kind = shards.row[name]
                file.create_dataset(name, (catalogue.n, *kind.shape), kind.base)
                file[name].attrs.update(described(catalogue, name))
            file.attrs.update({"galgen_schema": SCHEMA, **catalogue.attributes()})
            for first, shard in shards.read():
                for name in shards.row.names:
                    file[name][first : first + len(shard)] = shard[name]
                sink.check()
        sink.check()


def write_zarr(path: Path, catalogue: Catalogue, shards: Shards) -> None:
    """Write a Zarr group, format 3: a sharded array of images, and an array for each column.

    The arguments are those of `write_fits`.
    """
    import zarr  # of an extra

    with folder_made_whole(path) as part:
        group = zarr.open_group(part, mode="w", zarr_format=3)
        group.attrs.update({"galgen_schema": SCHEMA, **catalogue.attributes()})
        for name in shards.row.names:
            kind = shards.row[name]
            chunk = CHUNK if name == "image" else min(catalogue.n, TABLE_CHUNK)
            group.create_array(
                name,
                shape=(catalogue.n, *kind.shape),
                dtype=kind.base,
                chunks=(chunk, *kind.shape),
                shards=(shards.size, *kind.shape) if name == "image" else None,
                attributes=described(catalogue, name),
            )
        for first, shard in shards.read():
            with uninterrupted():  # or Zarr's threads would continue to write
                for name in shards.row.names:
                    group[name][first : first + len(shard)] = shard[name]


FORMATS = {".fits": write_fits, ".h5": write_hdf5, ".hdf5": write_hdf5, ".zarr": write_zarr}
"""What writes a catalogue, by the ending of the file."""


def cube_header(catalogue: Catalogue) -> fits.Header:
    """Make the header of the images, with the pixel scale as a WCS around the centre of each."""
    header = fits.PrimaryHDU().header
    header["BITPIX"], header["NAXIS"] = -32, 4
    lengths = catalogue.size, catalogue.size, catalogue.run.model.bands, catalogue.n
    for axis, length in enumerate(lengths, start=1):
        header.set(f"NAXIS{axis}", length, after=f"NAXIS{axis - 1}" if axis > 1 else "NAXIS")
    attributes = catalogue.attributes()
    if "pixel_scale" in attributes:
        for axis, (name, sign) in enumerate((("RA---TAN", -1), ("DEC--TAN", 1)), start=1):
            header[f"CTYPE{axis}"] = name
            header[f"CRVAL{axis}"] = (0.0, "arbitrary: the scale alone is meant")
            header[f"CRPIX{axis}"] = (catalogue.size + 1) / 2
            header[f"CDELT{axis}"] = sign * attributes["pixel_scale"] / 3600
            header[f"CUNIT{axis}"] = "deg"
        header["CTYPE3"] = ("BAND", "number of the band, from 1")
        header["CRVAL3"], header["CRPIX3"], header["CDELT3"] = 1.0, 1.0, 1.0
        header["CTYPE4"] = ("GALAXY", "number of the galaxy")
        header["CRVAL4"], header["CRPIX4"], header["CDELT4"] = catalogue.start, 1.0, 1.0
    for name, value in attributes.items():
        card, comment = HEADER[name]
        for key, item in _cards(card, value):
            header[key] = (item, comment if len(str(item)) + len(comment) < 60 else "")
    unit = "" if header["BUNIT"] else f"; its unit is {catalogue.unit}, which FITS does not know"
    texts = [f"Each image: {catalogue.image_description}{unit}.", *catalogue.cautions]
    for line in (line for text in texts for line in textwrap.wrap(text, CARD)):
        header["COMMENT"] = fits_text(line)
    return header


def _cards(card: str, value: str | int | float | list) -> list[tuple[str, str | int | float]]:
    """Return the cards of an attribute; a list of several has numbered ones, unknown ones none."""
    values = value if isinstance(value, list) else [value]
    keys = (
        [f"{card}{number}" for number in range(1, len(values) + 1)] if len(values) > 1 else [card]
    )
    texts = [
        fits_unit(item) if card == "BUNIT" else fits_text(item) if isinstance(item, str) else item
        for item in values
    ]
    return [(key, text) for key, text in zip(keys, texts, strict=True) if text == text]


def table_header(catalogue: Catalogue, row: np.dtype) -> fits.Header:
    """Make the header of the table, with a unit (TUNIT) and description (TCOMM) of each column."""
    columns = [
        fits.Column(
            name,
            "".join(map(str, column.shape)) + {"i8": "K", "f4": "E"}[column.kind],
            unit=fits_unit(column.unit) or None,
        )
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
        description = " ".join([f"{catalogue.image_description}.", *catalogue.cautions])
        return {"unit": catalogue.unit, "description": description}
    column = catalogue.columns[name]
    return {"unit": column.unit, "description": column.description}


def fits_unit(unit: str) -> str:
    """Return a unit in FITS notation; empty if FITS does not define it."""
    parsed = parse_unit(re.sub(r"(?i)\bdns?\b", "adu", unit))
    try:
        return "" if parsed is None else parsed.to_string("fits")
    except ValueError:
        return ""


def fits_text(text: str) -> str:
    """Write a text as FITS allows it, in ASCII."""
    return text.encode("ascii", "replace").decode()
