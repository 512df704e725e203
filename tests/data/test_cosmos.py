"""Real galaxies from releases in GalSim's layout: both recipes, selection, and bad releases."""

import shutil
from pathlib import Path

import galsim
import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galgen.data.stamp_file import StampFile
from galgen.data.surveys.cosmos.cosmos_source import CosmosSource, _convolved
from galgen.data.surveys.cosmos.release import Release
from galgen.errors import GalgenError
from tests.conftest import SHARED

DATA = SHARED / "data"
REAL = {"cosmos_f814w_100": slice(0, 100), "cosmos_23.5_first10": slice(100, 110)}
"""Releases of real galaxies, and their rows in the original project's layout."""

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")


def source(release, **arguments):
    arguments = {"survey": "cosmos", "sample": "none", "record": "none", **arguments}
    opened = CosmosSource(release=str(release), **arguments)
    opened.open()
    return opened


def drawn(release, **arguments):
    opened = source(release, **arguments)
    return opened.draw(range(len(opened)))


@pytest.fixture
def copied(release, tmp_path):
    return shutil.copytree(release, tmp_path / "release")


@pytest.mark.parametrize("name", REAL)
def test_the_seed_recipe_gives_the_original_stamps(name):
    with h5py.File(DATA / "seed_layout" / "cosmos_with_zphot.h5") as file:
        expected, redshift = file["images"][REAL[name]], file["zphot"][REAL[name]]
    block, left_out = drawn(DATA / name, recipe="seed")
    assert not left_out
    np.testing.assert_allclose(block["redshift"], redshift, rtol=1e-6)
    pairs = zip(block["image"], expected, strict=True)
    correlation = np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    assert np.median(correlation) > 0.95
    assert np.median(correlation[block["magnitude"] < 22.5]) > 0.99
    np.testing.assert_allclose(block["image"].max((1, 2)), 1)
    assert block["image"].min() == 0
    assert (block["image"] == 0).mean() == pytest.approx((expected == 0).mean(), abs=0.002)
    assert (block["background"] == 0).all()


@pytest.mark.parametrize("with_psf", [True, False])
def test_the_seed_recipe_pads_with_the_noise_of_the_mosaic(with_psf):
    opened = source(DATA / "cosmos_f814w_100")
    corners = []
    for number in range(20):
        row, variance = int(opened.rows[number]), float(opened.columns["noise_variance"][number])
        pixels, psf = opened._pixels(row), opened._psf(row) if with_psf else None
        image = _convolved(pixels, psf, 158, variance, galsim.BaseDeviate(number + 1))
        corners.append(image[:25, :25] / np.sqrt(variance))
    corners = np.array(corners)
    assert corners.std() == pytest.approx(0.93, abs=0.05)  # the interpolation smooths a little
    neighbours = (corners[:, :, 1:] * corners[:, :, :-1]).mean() / corners.var()
    assert neighbours == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", REAL)
def test_physical_stamps_hold_the_native_pixels_in_the_noise_of_the_mosaic(name):
    opened = source(DATA / name)
    block, _ = opened.draw(range(len(opened)))
    for row in range(len(opened)):
        pixels = opened.galaxies.getGalImage(row).array
        if max(pixels.shape) > 158:
            continue
        top, left = ((158 - side + 1) // 2 for side in pixels.shape)
        inside = np.s_[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        image = block["image"][row].copy()
        np.testing.assert_array_equal(image[inside], pixels.astype("f4"))
        image[inside] = np.nan
        if np.isfinite(image).mean() > 0.7:
            ratio = np.nanvar(image) / block["noise_variance"][row]
            assert ratio == pytest.approx(1, abs=0.25)
    assert ("psf" in block) == (name == "cosmos_f814w_100")
    if "psf" in block:
        np.testing.assert_allclose(block["psf"].sum((1, 2)), 1, rtol=1e-5)
        peaks = [np.unravel_index(psf.argmax(), psf.shape) for psf in block["psf"]]
        assert peaks.count((31, 31)) >= 99  # one peaks a pixel beside its centre


@pytest.mark.parametrize("name", REAL)
def test_magnitudes_on_the_stamps_are_those_of_the_catalogue(name):
    block, _ = drawn(DATA / name)
    y, x = np.mgrid[:158, :158] - 78.5
    flux = (block["image"] * (np.hypot(x, y) < 60)).sum((1, 2))
    bright = block["magnitude"] < 24
    difference = 25.94 - 2.5 * np.log10(flux[bright]) - block["magnitude"][bright]
    assert abs(np.median(difference)) < 0.1


def test_a_complete_release_is_selected_by_galsim(release):
    opened = source(release)
    catalogue = str(release / "real_galaxy_catalog_23.5_example.fits")
    chosen = galsim.COSMOSCatalog(catalogue, exclusion_level="marginal").orig_index
    assert sorted(opened.rows) == sorted(chosen)
    assert 0 < len(chosen) < 100
    bright = source(release, min_flux=50.0)
    flux = Table.read(release / "real_galaxy_catalog_23.5_example_fits.fits")["flux"][:, 0]
    assert sorted(bright.rows) == [row for row in sorted(chosen) if flux[row] >= 50]
    assert len(source(release, exclusion_level="none")) == 100


def test_what_a_complete_release_knows_is_kept(release):
    block, left_out = drawn(release)
    assert not left_out
    fitted = Table.read(release / "real_galaxy_catalog_23.5_example_fits.fits")
    row = {ident: number for number, ident in enumerate(fitted["IDENT"])}
    rows = [row[ident] for ident in block["galaxy_id"]]
    sersic = fitted["sersicfit"][rows]
    np.testing.assert_allclose(block["redshift"], fitted["zphot"][rows], rtol=1e-6)
    np.testing.assert_allclose(block["sersic_index"], sersic[:, 2])
    np.testing.assert_allclose(block["sersic_radius"], sersic[:, 1] * 0.03, rtol=1e-6)
    np.testing.assert_allclose(block["axis_ratio"], sersic[:, 3])
    np.testing.assert_allclose(block["flux_radius"], fitted["flux_radius"][rows] * 0.03, rtol=1e-6)
    whole = (block["native_size"] > 120) & (block["sersic_radius"] < 0.4)
    measured = 25.94 - 2.5 * np.log10(block["image"].sum((1, 2))[whole])
    fitted_magnitude = 25.94 - 2.5 * np.log10(block["sersic_flux"][whole])
    assert whole.sum() > 10
    assert abs(np.median(measured - fitted_magnitude)) < 0.1


def test_stamps_do_not_depend_on_their_company():
    opened = source(DATA / "cosmos_f814w_100")
    together, _ = opened.draw(range(3, 6))
    alone, _ = opened.draw(range(4, 5))
    np.testing.assert_array_equal(together["image"][1], alone["image"][0])


def test_cuts_of_a_release_without_selection():
    opened = source(DATA / "cosmos_f814w_100", max_magnitude=24.0, min_radius=0.2)
    table = Release(DATA / "cosmos_f814w_100")
    expected = (table.column("MAG") <= 24) & (table.column("flux_radius") * 0.03 >= 0.2)
    assert sorted(opened.rows) == np.flatnonzero(expected).tolist()
    assert any("exclusion_level=marginal is not applied" in note for note in opened.notes)
    with pytest.raises(GalgenError, match="Loosen"):
        source(DATA / "cosmos_f814w_100", max_magnitude=10.0)


def edit(path, name, row, value):
    with fits.open(path, mode="update") as file:
        file[1].data[name][row] = value


def test_sentinel_redshifts_are_unknown(copied):
    path = copied / "real_galaxy_catalog_23.5_example_fits.fits"
    for row, value in enumerate((-99.0, 0.0, 9.99, np.nan)):
        edit(path, "zphot", row, value)
    opened = source(copied, exclusion_level="none")
    assert np.flatnonzero(np.isnan(opened.columns["redshift"])).tolist() == [0, 1, 2, 3]
    assert "4 of them have no redshift" in opened.notes


def test_galaxies_without_good_pixels_are_left_out_and_named(copied):
    with fits.open(copied / "real_galaxy_images.fits", mode="update") as file:
        file[0].data[3, 4] = np.nan
        file[1].data[:] = 0
        file[2].data[:] = 0.7
    edit(copied / "real_galaxy_catalog_23.5_example.fits", "GAL_FILENAME", 3, "elsewhere.fits")
    edit(copied / "real_galaxy_catalog_23.5_example.fits", "GAL_HDU", 4, 5000)
    edit(copied / "real_galaxy_catalog_23.5_example.fits", "NOISE_VARIANCE", 5, 0.0)
    opened = source(copied, exclusion_level="none")
    block, left_out = opened.draw(range(len(opened)))
    names = [str(number) for number in Release(copied).column("IDENT")[:6]]
    assert left_out == {
        names[0]: "NaN or infinite pixels",
        names[1]: "all pixels are the same",
        names[2]: "all pixels are the same",
        names[3]: "image file elsewhere.fits is missing",
        names[4]: "its image in real_galaxy_images.fits cannot be read",
        names[5]: "the catalogue's noise variance is 0.0",
    }
    assert len(block["image"]) == 94
    assert any("1 of 2 image files are missing" in note for note in opened.notes)


def test_a_truncated_image_file_costs_only_what_is_lost(copied):
    path = copied / "real_galaxy_images.fits"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    block, left_out = drawn(copied, exclusion_level="none")
    assert 20 < len(block["image"]) < 80
    assert len(block["image"]) + len(left_out) == 100
    assert len(block["psf"]) == len(block["image"])


@pytest.mark.parametrize("recipe", ["physical", "seed"])
def test_missing_psfs_do_not_stop_anything(copied, recipe):
    (copied / "real_galaxy_PSF_images.fits").unlink()
    block, left_out = drawn(copied, recipe=recipe)
    assert not left_out
    assert "psf" not in block


def test_other_pixels_are_another_recipe(copied):
    before = source(copied).attrs()["recipe"]
    assert source(copied).attrs()["recipe"] == before
    assert source(copied, recipe="seed").attrs()["recipe"] != before
    assert source(copied, image_size=128).attrs()["recipe"] != before
    path = copied / "real_galaxy_images.fits"
    path.write_bytes(path.read_bytes() + b"\0" * 2880)
    assert source(copied).attrs()["recipe"] != before


def remove_fits_row(folder):
    path = folder / "real_galaxy_catalog_23.5_example_fits.fits"
    table = Table.read(path)
    table[1:].write(path, overwrite=True)


def shuffle_catalogue(folder):
    path = folder / "real_galaxy_catalog_23.5_example.fits"
    Table.read(path)[::-1].write(path, overwrite=True)


def set_column(folder, name, value):
    path = folder / "real_galaxy_catalog_23.5_example.fits"
    table = Table.read(path)
    table[name] = value
    table.write(path, overwrite=True)


def test_fits_in_another_order_are_matched_where_there_is_no_selection(copied):
    before = source(copied, exclusion_level="none")
    (copied / "real_galaxy_catalog_23.5_example_selection.fits").unlink()
    shuffle_catalogue(copied)
    after = source(copied, exclusion_level="none")
    assert after.columns["galaxy_id"].tolist() == before.columns["galaxy_id"][::-1].tolist()
    np.testing.assert_array_equal(
        after.columns["sersic_index"], before.columns["sersic_index"][::-1]
    )


def test_a_galaxy_whose_psf_cannot_be_read_is_marked(copied):
    edit(copied / "real_galaxy_catalog_23.5_example.fits", "PSF_HDU", 2, 5000)
    block, left_out = drawn(copied, exclusion_level="none")
    assert not left_out
    assert np.flatnonzero(block["has_psf"] == 0).tolist() == [2]
    assert np.isnan(block["psf"][2]).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda f: (f / "real_galaxy_catalog_23.5_example.fits").unlink(), "has none"),
        (
            lambda f: shutil.copy(
                f / "real_galaxy_catalog_23.5_example.fits", f / "catalog_2.fits"
            ),
            "this folder has catalog_2.fits, real",
        ),
        (
            lambda f: (f / "real_galaxy_catalog_23.5_example.fits").write_bytes(b"no FITS" * 999),
            "cannot be read as a FITS table",
        ),
        (
            lambda f: Table({"IDENT": [1]}).write(
                f / "real_galaxy_catalog_23.5_example.fits", overwrite=True
            ),
            "lacks the columns GAL_FILENAME",
        ),
        (remove_fits_row, "in the same order"),
        (shuffle_catalogue, "in the same order"),
        (lambda f: set_column(f, "MAG", ["bright"] * 100), "has no numbers in MAG"),
        (lambda f: set_column(f, "PIXEL_SCALE", [0.03, 0.05] * 50), "one positive number"),
        (
            lambda f: Table({"IDENT": [1]}).write(
                f / "real_galaxy_catalog_23.5_example_selection.fits", overwrite=True
            ),
            "exclusion_level=none",
        ),
    ],
)
def test_bad_releases_are_sentences(copied, damage, message):
    damage(copied)
    with pytest.raises(GalgenError, match=message):
        source(copied)


def test_the_command_prepares_and_describes(command, release):
    arguments = ["data=cosmos", f"prepare.release={release}", "data.file=s.h5"]
    code, printed = command("prepare", *arguments, "prepare.shards=3")
    assert code == 0, printed
    assert "python -m galgen.train data=cosmos data.file=s.h5" in printed
    stamps = StampFile("s.h5")
    assert stamps.size == 158
    code, printed = command("describe", "data.file=s.h5", "out=pictures")
    assert code == 0
    for expected in (f"{len(stamps)} of 158 x 158 px", "counts/s", "each in one stamp", "25.94"):
        assert expected in printed
    assert sorted(p.name for p in Path("pictures").iterdir()) == [
        "s.histograms.png",
        "s.stamps.png",
    ]
    code, printed = command("prepare", *arguments, "recipe=seed", "prepare.shards=3")
    assert code == 1
    assert "overwrite=true" in printed


def test_the_deep_field_is_the_bright_sample(command, release):
    code, printed = command(
        "prepare",
        "data=deepfield",
        f"prepare.release={release}",
        "data.file=d.h5",
        "prepare.shards=2",
    )
    assert code == 0, printed
    stamps = StampFile("d.h5")
    assert stamps.attrs["survey"] == "deepfield"
    assert stamps.columns["sersic_flux"].min() >= 50
    assert len(np.unique(stamps.columns["galaxy_id"])) == len(stamps)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe=censai", "physical, seed"),
        ("prepare.exclusion_level=all", "none, bad_stamp, bad_fits, marginal"),
        ("prepare.image_size=0", "must be positive"),
        ("prepare.shard=64", "shards 0 to 63"),
        ("prepare.galaxies=3", "no such argument"),
        ("prepare.release=nowhere", "no such folder"),
    ],
)
def test_bad_overrides_are_sentences(command, override, message):
    code, printed = command("prepare", "data=cosmos", override)
    assert code == 1
    assert message in printed
    assert "Traceback" not in printed
