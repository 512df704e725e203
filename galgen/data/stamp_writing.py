"""Writing stamp files: whole, in blocks, or joined from shards that stay where they are."""

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from galgen.data.stamp_file import OF_BANDS, SCHEMA
from galgen.data.stamp_shards import shard_identity
from galgen.files import written_whole


def write_stamps(
    path: Path,
    blocks: Iterable[dict[str, np.ndarray]],
    attrs: dict,
    left_out: dict[str, str] | None = None,
) -> None:
    """Write a stamp file block by block; it appears under its name when it is complete.

    Args:
        path: the file; its folder is made.
        blocks: arrays by name, the same names in each: `image` (n, B, H, W) and others of its
            rank, which are written as they come, and columns (n,) or (n, B). Those of a survey of
            one band may lack the band axis.
        attrs: survey, bands, unit, pixel_scale (arcsec), zero_point, recipe, versions, ...
        left_out: galaxies without a stamp and the reasons, as they are after the last block.
    """
    with written_whole(path) as part, Sink(part) as sink:
        with h5py.File(sink, "w") as file:
            columns: dict[str, list[np.ndarray]] = {}
            for block in blocks:
                for name, values in with_band_axis(block).items():
                    if values.ndim == 4:
                        _append(file, name, values)
                    else:
                        columns.setdefault(name, []).append(values)
                sink.check()
            for name, values in columns.items():
                file[name] = np.concatenate(values)
            if left_out:
                file["left_out/galaxy"] = list(left_out)
                file["left_out/reason"] = list(left_out.values())
            file.attrs.update({"galgen_schema": SCHEMA, **attrs})
        sink.check()


def join_stamps(path: Path, shards: list[Path], attrs: dict, tables: dict[str, np.ndarray]) -> None:
    """Write a stamp file whose images stay in other stamp files, below its folder.

    Args:
        path: the file.
        shards: stamp files with the same columns, in order.
        attrs: the file's attributes.
        tables: data sets without a row for each stamp, such as the PSFs that `psf_index` refers to.
    """
    columns: dict[str, list[np.ndarray]] = {}
    stacks: dict[str, list[h5py.VirtualSource]] = {}
    joined: dict[str, list] = {}
    for shard in shards:
        place = os.path.relpath(shard, path.parent)
        with h5py.File(shard) as file:
            joined[place] = shard_identity(file)
            for name, item in file.items():
                if isinstance(item, h5py.Dataset) and item.ndim == 4:
                    piece = h5py.VirtualSource(place, name, item.shape, item.dtype)
                    stacks.setdefault(name, []).append(piece)
                elif isinstance(item, h5py.Dataset):
                    columns.setdefault(name, []).append(item[:])
    with written_whole(path) as part, Sink(part) as sink:
        with h5py.File(sink, "w", libver="latest") as file:
            for name, pieces in stacks.items():
                file.create_virtual_dataset(name, _layout(pieces), fillvalue=np.nan)
            for name, values in columns.items():
                file[name] = np.concatenate(values)
            for name, values in with_band_axis(tables).items():
                file[name] = values
            file["joined"] = json.dumps(joined)
            file.attrs.update({"galgen_schema": SCHEMA, **attrs})
        sink.check()


def with_band_axis(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give arrays of one band, which lack it, a band axis.

    Args:
        arrays: images (n, H, W) and columns (n,), by name; those that have the axis stay.
    """
    return {
        name: values[:, None]
        if values.ndim == 3 or (values.ndim == 1 and name in OF_BANDS)
        else values
        for name, values in arrays.items()
    }


def _layout(pieces: list[h5py.VirtualSource]) -> h5py.VirtualLayout:
    """Map the rows of data sets in other files one after the other."""
    bounds = np.cumsum([0, *(piece.shape[0] for piece in pieces)])
    layout = h5py.VirtualLayout((bounds[-1], *pieces[0].shape[1:]), pieces[0].dtype)
    for start, stop, piece in zip(bounds, bounds[1:], pieces, strict=False):
        layout[start:stop] = piece
    return layout


class Sink(io.FileIO):
    """File for h5py that keeps a write error for `check` instead of raising it.

    HDF5 1.14 writes the rest when it closes a file, and crashes when that fails again, as it
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


def _append(file: h5py.File, name: str, block: np.ndarray) -> None:
    """Append rows to a data set; of noise, compression would save 12 % and take 8 times longer."""
    n, *shape = block.shape
    if name not in file:
        plain = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        file.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            dtype=block.dtype,
            chunks=(1, *shape),
            **(plain if (block == block.flat[0]).mean() > 0.5 else {}),
        )
    stack = file[name]
    stack.resize(len(stack) + n, axis=0)
    stack[-n:] = block
