"""Catalogues of a trained run."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits

ENDINGS = (".fits", ".h5", ".zarr")


def read(path: Path) -> dict[str, np.ndarray]:
    """Read images and columns of a catalogue in any format."""
    if path.suffix == ".fits":
        with fits.open(path) as file:
            file.verify("exception")
            columns = {name: np.array(file[1].data[name]) for name in file[1].columns.names}
            return {"image": file[0].data.copy(), **columns}
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="r")
        return {name: array[:] for name, array in group.arrays()}
    with h5py.File(path) as file:
        return {name: item[:] for name, item in file.items()}


def digest(path: Path) -> str:
    """Hash a file, or all files of a folder with their names."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    content = [(str(f.relative_to(path)), f.read_bytes()) for f in files if f.is_file()]
    return hashlib.sha256(repr(content).encode()).hexdigest()


@pytest.fixture
def generate(command, trained):
    """Return a function that generates from the trained run, and expects success."""

    def run(out: str, *overrides: str, of: Path = trained) -> dict[str, np.ndarray]:
        redshift = ["redshift=0.5:2.5"] if of == trained else []
        code, printed = command("generate", f"run={of}", f"out={out}", *redshift, *overrides)
        assert code == 0, printed
        assert not Path(f"{out}.unfinished").exists()
        return read(Path(out))

    return run
