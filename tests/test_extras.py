"""A package of an extra that is not installed is missed in one sentence, with its remedy."""

import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.conftest import discs, only_run
from tests.data.band_scene import BLUE, RED, write
from tests.data.mosaic_scene import HEADER


@pytest.fixture
def without(monkeypatch):
    """Return a function that hides a package, and modules of galgen that have imported it."""

    def hide(package: str) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] == package or name.startswith("galgen.data.surveys.mosaic"):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


@pytest.mark.parametrize("package", ["photutils", "skimage"])
def test_a_mosaic_needs_an_extra(command, without, package):
    without(package)
    code, printed = command("prepare", "data=mosaic", "mosaic.image=m.fits", "data.file=m.h5")
    assert code == 1
    assert printed == (
        f"galgen: this needs the package {package}, which is not installed. "
        "pip install 'galgen[mosaics]'\n"
    )
    assert not list(Path().iterdir())


def test_a_table_in_parquet_needs_an_extra(command, without):
    without("pyarrow")
    np.save("cube.npy", discs(4))
    Path("t.parquet").write_bytes(b"PAR1")
    data = ["data=cutouts", "cutouts.images=cube.npy", "cutouts.bands=[r]", "data.file=c.h5"]
    code, printed = command("prepare", *data, "cutouts.table=t.parquet")
    assert code == 1
    assert printed == (
        "galgen: this needs the package pyarrow, which is not installed. "
        "pip install 'galgen[parquet]'\n"
    )


def test_resampling_needs_an_extra(command, monkeypatch, tmp_path):
    moved = fits.Header({**HEADER, "CRPIX1": HEADER["CRPIX1"] + 5})
    paths = write(tmp_path, {"red": RED, "blue": BLUE}, {"red": HEADER, "blue": moved})
    monkeypatch.setitem(sys.modules, "reproject", None)
    images = f"mosaic.images={{red: {paths['red']}, blue: {paths['blue']}}}"
    words = ["data=mosaic", images, "mosaic.reproject=true", "data.file=m.h5", "data.image_size=32"]
    code, printed = command("prepare", *words)
    assert code == 1
    assert printed.splitlines()[-1] == (
        "galgen: this needs the package reproject, which is not installed. "
        "pip install 'galgen[mosaics]'"
    )
    assert not Path("m.h5").exists()


def test_a_zarr_catalogue_needs_an_extra(command, without, trained):
    without("zarr")
    code, printed = command("generate", f"run={trained}", "n=4", "redshift=1", "out=mock.zarr")
    assert code == 1
    assert printed.splitlines()[-1] == (
        "galgen: this needs the package zarr, which is not installed. pip install 'galgen[zarr]'"
    )
    assert not list(Path().iterdir())


def test_tensorboard_needs_an_extra(command, without, small):
    without("tensorboard")
    code, printed = command("train", *small, "logger=tensorboard")
    assert code == 1
    assert printed.splitlines()[-1] == (
        "galgen: logger: this needs the package tensorboard, which is not installed. "
        "pip install 'galgen[dashboards]'"
    )


def test_training_and_generating_need_no_extra(command, without, small):
    for package in ("photutils", "skimage", "zarr", "onnx", "onnxruntime", "safetensors"):
        without(package)
    code, printed = command("train", *small)
    assert code == 0, printed
    code, printed = command("generate", f"run={only_run()}", "n=4", "redshift=1", "out=mock.h5")
    assert code == 0, printed
