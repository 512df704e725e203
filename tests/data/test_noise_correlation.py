"""The correlation of a survey's noise: kept in the stamp file, drawn, and what batches have."""

import h5py
import numpy as np
import pytest
from scipy.signal import fftconvolve

from galgen.data.data_module import SurveyDataModule
from galgen.data.noise_correlation import (
    correlation_of_filter,
    draw_correlated,
    kept,
    symmetric,
    without_correlation,
)
from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import write_stamps
from galgen.data.surveys.cosmos_noise import noise_correlation, noise_image
from galgen.data.surveys.simulated.simulated_source import SimulatedSource
from galgen.data.transforms import Physical
from galgen.errors import GalgenError

SLANTED = np.array([[[0.0, 0.1, 0.3], [0.2, 1.0, 0.2], [0.3, 0.1, 0.0]]], np.float32)


def measured(noise, dy, dx):
    """Return the correlation of images (N, H, W) at an offset of some pixels down and right."""
    product = noise[:, dy:, max(dx, 0) :] * noise[:, : noise.shape[1] - dy, : noise.shape[2] - dx]
    return product.mean() / noise.var()


def test_that_of_cosmos_is_what_galsim_draws():
    import galsim

    rng = galsim.BaseDeviate(3)
    noise = np.stack([noise_image(64, rng, 1.0) for _ in range(200)])
    table = noise_correlation()
    assert table.shape == (13, 13)
    for dy, dx in [(0, 1), (1, 0), (1, 1), (0, 2), (2, 1)]:
        assert table[6 + dy, 6 + dx] == pytest.approx(measured(noise, dy, dx), abs=0.01)


@pytest.mark.parametrize("size", [16, 33, 64])
def test_noise_that_is_drawn_has_it(size):
    tables = np.stack([noise_correlation(), np.zeros((13, 13), np.float32)])
    tables[1, 6, 6] = 1
    noise = draw_correlated(tables, 1000000 // size**2, size, np.random.default_rng(0))
    assert noise.shape[1:] == (2, size, size)
    for band, table in enumerate(tables):
        assert noise[:, band].var() == pytest.approx(1, abs=0.01)
        for dy, dx in [(0, 1), (1, 0), (1, 1), (0, 2)]:
            assert measured(noise[:, band], dy, dx) == pytest.approx(
                table[6 + dy, 6 + dx], abs=0.01
            )
    assert abs((noise[:, 0, :, 0] * noise[:, 0, :, -1]).mean()) < 0.02  # the edges know nothing


def test_that_of_a_filter_is_that_of_filtered_white_noise():
    rng = np.random.default_rng(0)
    kernel = rng.random((5, 5))
    noise = fftconvolve(
        rng.standard_normal((2000, 40, 40)), kernel[None], mode="valid", axes=(1, 2)
    )
    table = correlation_of_filter(kernel)
    assert table.shape == (9, 9)
    assert table[4, 4] == 1
    for dy, dx in [(0, 1), (1, 0), (1, 1), (2, 3)]:
        assert table[4 + dy, 4 + dx] == pytest.approx(measured(noise, dy, dx), abs=0.02)


def test_only_its_middle_is_kept():
    wide = np.random.default_rng(0).random((31, 17))
    wide[15, 8] = 4
    table = kept(wide)
    assert table.shape == (13, 13)
    np.testing.assert_allclose(table, wide[9:22, 2:15] / 4, rtol=1e-6)


def test_stamps_that_are_turned_have_its_mean_over_the_square_s_symmetries():
    found = symmetric(SLANTED)[0]
    assert found[0].tolist() == pytest.approx([0.15, 0.15, 0.15])
    for turned in (found.T, found[::-1], found[:, ::-1]):
        np.testing.assert_allclose(turned, found, rtol=1e-6)


def write(path, correlation, bands=("a",)):
    n = 30
    rng = np.random.default_rng(0)
    block = {"image": rng.random((n, len(bands), 32, 32)).astype(np.float32)}
    block |= {
        "redshift": np.full(n, np.nan),
        "galaxy_id": np.arange(n),
        "noise_variance": np.ones((n, len(bands))),
    }
    attrs = {"bands": list(bands), "unit": "counts", "noise_correlation": correlation}
    write_stamps(path, [block], attrs)
    return path


@pytest.mark.parametrize("augment", [False, True])
def test_batches_have_that_of_the_survey(tmp_path, augment):
    path = write(tmp_path / "a.h5", SLANTED)
    module = SurveyDataModule("a", 32, Physical(1.0), file=path, batch_size=8, augment=augment)
    module.setup()
    expected = symmetric(SLANTED) if augment else SLANTED
    np.testing.assert_allclose(module.first("train", 4).noise_correlation, expected)
    for part in ("val", "test"):  # nobody turns them
        np.testing.assert_allclose(module.first(part, 4).noise_correlation, SLANTED)
    assert "noise_correlation" not in module.facts()["attributes"]


def test_those_of_the_chosen_bands_are_read(tmp_path):
    tables = np.concatenate([SLANTED, SLANTED.transpose(0, 2, 1)])
    tables[1, 0, 1] = tables[1, 2, 1] = 0.05
    path = write(tmp_path / "a.h5", tables, ["a", "b"])
    np.testing.assert_array_equal(StampFile(path, ["b"]).noise_correlation, tables[1:])
    np.testing.assert_array_equal(StampFile(path, ["b", "a"]).noise_correlation, tables[::-1])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (np.ones((1, 4, 4)), r"has the shape \(1, 4, 4\)"),
        (np.ones((2, 3, 3)), r"Write it as \(1, h, w\)"),
        (2 * SLANTED, "is no correlation"),
        (np.full((1, 3, 3), np.nan), "is no correlation"),
        (np.array([[[0, 0.3, 0], [0.3, 1, 0.3], [0, 0.3, 0]]]), "power spectrum is negative"),
    ],
)
def test_what_is_none_is_refused(tmp_path, table, said):
    with pytest.raises(GalgenError, match=said):
        StampFile(write(tmp_path / "a.h5", table))


def test_a_survey_without_it_rules_its_likelihood_out(tmp_path):
    path = write(tmp_path / "a.h5", SLANTED)
    with h5py.File(path, "a") as file:
        del file.attrs["noise_correlation"]
    module = SurveyDataModule("a", 32, Physical(1.0), file=path, batch_size=8)
    module.needs = ("noise_variance", "noise_correlation")
    with pytest.raises(GalgenError, match="Use likelihood=noise_aware"):
        module.setup()


def test_simulated_noise_is_that_of_its_telescope():
    hst = SimulatedSource(2, 32, ["F606W", "F814W"]).attrs()["noise_correlation"]
    np.testing.assert_array_equal(hst, [noise_correlation()] * 2)
    lsst = SimulatedSource(2, 32, "lsst").attrs()["noise_correlation"]
    np.testing.assert_array_equal(lsst, without_correlation(6))
