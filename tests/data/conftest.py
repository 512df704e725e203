"""Fixtures of surveys: mosaics, stamp files and a server of releases."""

import threading
from http.server import ThreadingHTTPServer

import h5py
import numpy as np
import pytest
from astropy.io import fits

from galgen.data.data_module import SurveyDataModule
from galgen.data.stamp_writing import write_stamps
from galgen.data.surveys.cosmos import download
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from galgen.data.transforms import Peak
from tests.conftest import discs
from tests.data.mosaic_scene import HEADER, IMAGE, SIZE
from tests.data.release_server import DATA, Handler

CSV = "id,ra,dec,z\n1005,150.1,2.2,0.5\n1006,150.101,2.3,0.6\n"
CACHES = [("ram", "float32"), ("ram", "float16"), ("none", "float32")]


@pytest.fixture
def open_mosaic(tmp_path):
    """Return a function that writes an image and opens the source of its stamps."""

    def make(image=IMAGE, size: int = SIZE, header=HEADER, **arguments) -> MosaicSource:
        path = tmp_path / "mosaic.fits"
        fits.writeto(path, image, header, overwrite=True)
        source = MosaicSource(Mosaic(path, **{"zero_point": 25.0, **arguments}), size)
        source.open()
        return source

    return make


def module(file, needs=(), **arguments):
    arguments = {"name": "cosmos", "image_size": 32, "batch_size": 8, **arguments}
    datamodule = SurveyDataModule(**{"file": file, "transform": Peak(), **arguments})
    datamodule.needs = needs
    return datamodule


@pytest.fixture
def augmented(tmp_path):
    """A stamp file of 30 galaxies in 4 copies each, in disorder."""
    path = tmp_path / "augmented.h5"
    parents = np.random.default_rng(0).permutation(np.repeat(np.arange(30) * 7, 4))
    columns = {"galaxy_id": parents, "redshift": parents / 100, "background": parents * 0.0 + 0.1}
    write_stamps(path, [{"image": discs(120), **columns}], {"survey": "mine"})
    return path


@pytest.fixture
def galaxies(tmp_path):
    """Galgen's own layout: 40 stamps of 40 px, three PSFs, weights; six without redshift."""
    path, rng = tmp_path / "own.h5", np.random.default_rng(1)
    columns = {
        "galaxy_id": np.arange(40),
        "redshift": np.where(np.arange(40) % 7 == 3, np.nan, 0.5).astype("f4"),
        "psf_index": np.arange(40) % 3,
        "noise_variance": np.linspace(1, 2, 40),
    }
    weight = np.ones((40, 40, 40), "f4")
    weight[:, :5] = 0
    write_stamps(path, [{"image": discs(40, 40), "weight": weight, **columns}], {"survey": "own"})
    with h5py.File(path, "a") as file:
        psf = rng.random((3, 1, 5, 5))
        file["psf"] = (psf / psf.sum(axis=(2, 3), keepdims=True)).astype("f4")
    return path


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0, 0, 0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files = {"/data": DATA, "/elsewhere/data": DATA}
        server.faults, server.requests, server.sent = iter(()), [], []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
