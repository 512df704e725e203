"""Bands of a survey: chosen by name, in any order, and missing for some galaxies."""

import re
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from galgen.data.bands import band_names
from galgen.data.from_stamp_file import fill_in_stamps
from galgen.data.stamp_file import StampFile
from galgen.data.transforms import Peak, Physical
from galgen.errors import GalgenError
from tests.conftest import discs
from tests.data.conftest import CACHES, module

N, BANDS, POINTS = 60, ["g", "r", "i"], [25.0, 25.5, np.nan]
LIGHT = discs(N)[:, None] * np.array([1, 2, 4], "f4")[:, None, None]
LACKING = slice(0, N, 5)
"""Galaxies that have no r band."""


@pytest.fixture
def colours(tmp_path):
    """A stamp file of three bands, of which some galaxies lack the second."""
    image, weight = LIGHT.copy(), np.ones_like(LIGHT)
    image[LACKING, 1], weight[LACKING, 1] = 0, 0
    has_band = np.ones((N, 3), np.int8)
    has_band[LACKING, 1] = 0
    variance = np.where(has_band, [[0.01, 0.04, 0.16]], np.nan)
    with h5py.File(tmp_path / "colours.h5", "w") as file:
        file["image"], file["weight"], file["has_band"] = image, weight, has_band
        file["noise_variance"], file["galaxy_id"] = variance, np.arange(N)
        file["magnitude"] = np.arange(3 * N).reshape(N, 3)
        file["redshift"] = np.linspace(0.1, 2, N)
        file["psf"] = np.ones((1, 3, 5, 5)) * np.arange(3)[:, None, None]
        file["psf_index"] = np.zeros(N, int)
        file.attrs.update(galgen_schema=2, bands=BANDS, zero_point=POINTS, reference_band="i")
    return tmp_path / "colours.h5"


def test_bands_are_read_in_the_order_that_is_wanted(colours):
    whole, chosen = StampFile(colours), StampFile(colours, ["i", "g"])
    assert (whole.bands, chosen.bands) == (BANDS, ["i", "g"])
    assert (whole.zero_points, chosen.zero_points) == ([25.0, 25.5, None], [None, 25.0])
    assert chosen.stacks["image"] == (N, 2, 32, 32)
    for rows in (slice(0, N), np.array([7, 3])):
        np.testing.assert_array_equal(
            chosen.read(rows, 20), whole.read(rows, 20)[:, [2, 0]], strict=True
        )
    np.testing.assert_array_equal(whole.read(slice(0, 1), 5, "psf")[0, :, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(
        chosen.columns["magnitude"], whole.columns["magnitude"][:, [2, 0]]
    )


def test_the_reference_band_gives_a_galaxy_its_magnitude(colours):
    np.testing.assert_array_equal(StampFile(colours).by_galaxy("magnitude"), np.arange(2, 3 * N, 3))
    without = StampFile(colours, ["r", "g"])  # then the first that is there
    np.testing.assert_array_equal(without.by_galaxy("magnitude"), np.arange(1, 3 * N, 3))
    np.testing.assert_array_equal(without.by_galaxy("redshift"), np.linspace(0.1, 2, N))


@pytest.mark.parametrize("name", [None, "F814W"])
def test_a_file_without_a_band_axis_is_one_band(tmp_path, name):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["image"], file["noise_variance"] = discs(4), np.arange(1.0, 5)
        file.attrs.update(galgen_schema=1, zero_point=25.9, **({"band": name} if name else {}))
    stamps = StampFile(tmp_path / "s.h5")
    assert (stamps.bands, stamps.zero_points) == ([name or "unknown"], [25.9])
    assert stamps.columns["noise_variance"].shape == (4, 1)
    named = StampFile(tmp_path / "s.h5", ["F814W"])  # the config may name what the file does not
    assert named.bands == ["F814W"]
    np.testing.assert_array_equal(named.read(slice(0, 4), 32)[:, 0], discs(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.update(bands=["g", "r"]), "3 bands, its attribute 'bands' has 2 values"),
        (lambda f: f.attrs.update(bands=["g", "g", "i"]), "have one name"),
        (lambda f: f.attrs.update(zero_point=25.0), "attribute 'zero_point' has 1 values"),
        (lambda f: f.attrs.pop("bands"), "attribute 'bands' has 0 values"),
        (lambda f: f.__delitem__("psf") or f.create_dataset("psf", (1, 5, 5)), "'psf' has 1"),
        (
            lambda f: f.__delitem__("magnitude") or f.create_dataset("magnitude", (N,)),
            "'magnitude' has one value for a galaxy",
        ),
        (lambda f: f.__delitem__("weight"), "12 galaxies lack a band, and there is no 'weight'"),
    ],
)
def test_bands_that_contradict_each_other_are_told(colours, change, message):
    with h5py.File(colours, "a") as file:
        change(file)
    with pytest.raises(GalgenError, match=message):
        StampFile(colours)


def test_a_band_that_the_file_lacks_is_told(colours):
    with pytest.raises(GalgenError, match=r"data.bands=\[g,z\]: .* no band z. Give some of \[g,r"):
        module(colours, bands=["g", "z"]).setup()
    with pytest.raises(ValueError, match=r"data\.bands=\[\]: give at least one"):
        module(colours, bands=[])


@pytest.mark.parametrize(
    ("bands", "sentence"),
    [
        (5, "data.bands=5: it is neither the name of a band nor a list of names. Give such as"),
        (True, "data.bands=True: it is neither the name"),
        ({"g": 1}, "data.bands={'g': 1}: it is neither the name"),
        (["g", "r", "g"], "data.bands=[g,r,g]: g stands twice. Give each band once."),
    ],
)
def test_bands_that_are_no_names_or_stand_twice(bands, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        band_names(bands)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_in_stamps(OmegaConf.create({"data": {"bands": bands, "image_size": 32}}))


@pytest.mark.parametrize(("given", "named"), [("g", ["g"]), ("lsst", list("ugrizy"))])
def test_a_band_alone_and_a_set_of_bands_need_no_brackets(colours, given, named):
    assert module(colours, bands=given).bands == named


@pytest.mark.parametrize(("cache", "dtype"), CACHES)
def test_batches_have_bands_and_each_its_noise(colours, cache, dtype):
    datamodule = module(
        colours, cache=cache, cache_dtype=dtype, transform=Physical(), needs=("noise_variance",)
    )
    datamodule.setup()
    assert datamodule.transform.scale == pytest.approx([0.1, 0.2, 0.4])
    for part in ("train", "val", "test"):
        batch = datamodule.first(part, N)
        rows = batch.index.numpy()
        has = np.ones((len(rows), 3))
        has[np.isin(rows, np.arange(N)[LACKING]), 1] = 0
        np.testing.assert_array_equal(batch.weight.amax(dim=(2, 3)), has)
        light = LIGHT[rows] * has[:, :, None, None] / np.array([0.1, 0.2, 0.4])[:, None, None]
        np.testing.assert_allclose(batch.image, light, rtol=2e-3, atol=1e-4)
        noise = np.where(has > 0, batch.noise_variance, 1)
        np.testing.assert_allclose(noise, 1, rtol=1e-5)
        assert batch.noise_variance.isfinite().all()


def test_a_lacking_band_has_no_part_in_the_baseline_and_the_peak(colours):
    datamodule = module(colours, transform=Peak(per_band=True))
    datamodule.setup()
    rows = datamodule.parts["val"].rows
    lacking = np.isin(rows, np.arange(N)[LACKING])
    square = (discs(N)[rows] ** 2).sum(axis=(1, 2))
    expected = ((3 - lacking) * square).mean()
    found = datamodule.facts()["squared_error_of_zero"]["val"]
    assert found == pytest.approx(expected, rel=1e-5)
    assert datamodule.facts()["bands"] == BANDS


def test_turns_and_shifts_move_all_bands_alike(colours):
    datamodule = module(colours, image_size=24, augment=True, max_shift=3, transform=Physical(1.0))
    datamodule.setup()
    datamodule.trainer = SimpleNamespace(training=True, current_epoch=0)
    batch = datamodule.parts["train"].batch(torch.arange(20))
    moved = datamodule.on_after_batch_transfer(batch, 0).image
    torch.testing.assert_close(moved[:, 2], 4 * moved[:, 0])
    assert not torch.equal(moved[:, 0], batch.image[:, 0, 4:28, 4:28])
