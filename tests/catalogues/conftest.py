"""Catalogues of a trained run."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits

from galgen.data.stamp_writing import write_stamps
from galgen.data.surveys.cosmos_noise import noise_correlation
from tests.conftest import discs

ENDINGS = (".fits", ".h5", ".zarr")
SCALE = 0.05
SIGMA = 0.02


def gaussian(sigma, side=21):
    y, x = np.mgrid[:side, :side] - side // 2
    psf = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    return (psf / psf.sum()).astype("f4")


PSFS = np.stack([gaussian(1.0), gaussian(2.0)])[:, None]


@pytest.fixture(scope="session")
def survey_with_psfs(tmp_path_factory) -> Path:
    """Write 80 discs of 32 px with two PSFs, their noise and redshifts."""
    path, n = tmp_path_factory.mktemp("survey_with_psfs") / "survey.h5", 80
    block = {"image": discs(n) * np.linspace(0.5, 2, n, dtype="f4")[:, None, None]}
    block |= {"noise_variance": np.full(n, SIGMA**2), "psf_index": np.arange(n) % 2}
    block |= {"redshift": np.linspace(0.1, 2, n)}
    attrs = {"survey": "mine", "unit": "counts/s", "pixel_scale": SCALE, "zero_point": [25.5]}
    attrs["noise_correlation"] = noise_correlation()[None]
    write_stamps(path, [block], attrs)
    with h5py.File(path, "a") as file:
        file["psf"] = PSFS
    return path


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
