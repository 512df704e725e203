"""The shards that a large stamp file joins: their identity, and whether they are all there."""

import json
from pathlib import Path

import h5py

from galgen.errors import GalgenError
from galgen.files import is_file, reading


def shard_identity(shard: h5py.File) -> list:
    """Return the identity of a shard: its recipe, its candidates and its number of stamps."""
    return [
        shard.attrs.get("recipe"),
        shard.attrs.get("candidates"),
        len(shard["image"]) if "image" in shard else 0,
    ]


def check_shards(path: Path, file: h5py.File) -> list[Path]:
    """Check that the files of virtual datasets are there; HDF5 would give NaN for them.

    Returns:
        The files; none where no dataset is virtual.

    Raises:
        GalgenError: if one is missing, damaged, too short or another than was joined.
    """
    mapped: dict[str, dict[str, int]] = {}  # rows of the datasets in each shard
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
