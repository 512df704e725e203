"""Real skies in several bands: colours are those that fixed apertures give, and models train."""

import numpy as np
import pytest
from astropy.io import fits
from photutils.aperture import CircularAperture, aperture_photometry

from galgen.data.stamp_file import StampFile
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from tests.conftest import SHARED
from tests.data import cutout_scene
from tests.data.mosaic_scene import drawn

DATA = SHARED / "data"
XDF = {band: f"{DATA}/xdf/xdf_hst_wfc3ir_60mas_{band}" for band in ("f105w", "f160w")}
HST = {"f606w": 26.505, "f775w": 25.678, "f850lp": 24.867, "f160w": 25.946}
KIDS = {band: 0.0 if band in "ugri" else 30.0 for band in (*"ugri", "Z", "Y", "J", "H", "Ks")}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")


def cropped(folder, files: dict[str, str], where, suffix: str = "") -> dict[str, str]:
    """Cut a part of each image, and write it without a WCS; return the paths by band."""
    paths = {}
    for band, file in files.items():
        with fits.open(file) as hdus:
            image = next(hdu.data for hdu in hdus if hdu.data is not None)
        paths[band] = str(folder / f"{band}{suffix}.fits")
        fits.writeto(paths[band], image[where].astype(np.float32))
    return paths


def opened(images: dict[str, str], size: int, **options) -> tuple[MosaicSource, dict]:
    source = MosaicSource(Mosaic(images=images, **options), size)
    source.open()
    return source, drawn(source)


def fixed_magnitudes(images: dict[str, str], stamps: dict, points, radius: float) -> np.ndarray:
    """Magnitudes (n, B) in circles on the images as they are, less their median."""
    places = CircularAperture(np.transpose([stamps["x"], stamps["y"]]), radius)
    magnitudes = []
    for file, point in zip(images.values(), points, strict=True):
        image = fits.getdata(file).astype(float)
        flux = aperture_photometry(image - np.nanmedian(image), places)["aperture_sum"]
        magnitudes.append(point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan)))
    return np.transpose(magnitudes)


def check_colours(images, stamps, points, band: int, radius: float, least: float) -> None:
    """Compare colours against a band with those of fixed apertures, where both are clear."""
    off = stamps["magnitude"] - fixed_magnitudes(images, stamps, points, radius)
    apart = np.hypot(*(np.subtract.outer(stamps[c], stamps[c]) for c in "xy"))
    alone = np.sort(apart, axis=1)[:, 1] > 2 * radius + 2
    clear = (stamps["signal_to_noise"] > least) & alone[:, None]
    for other in set(range(len(images))) - {band}:
        both = clear[:, other] & clear[:, band]
        difference = (off[:, other] - off[:, band])[both]
        assert both.sum() >= 3
        error = 2.5 / np.log(10) / least  # of one galaxy, at most, in either band
        assert abs(np.median(difference)) < 0.04 + error / np.sqrt(both.sum())
        assert np.median(np.abs(difference)) < error


def test_the_extreme_deep_field_in_two_bands():
    images = {band: f"{path}_sci.fits" for band, path in XDF.items()}
    maps = {band: f"{path}_rms.fits" for band, path in XDF.items()}
    points = {"f105w": 26.27, "f160w": 25.95}
    source, stamps = opened(images, 48, rms=maps, zero_point=points, detect="f160w")
    assert 25 <= len(stamps["x"]) <= 32
    attrs = source.attrs()
    assert (attrs["bands"], attrs["unit"]) == (list(XDF), "electron / s")
    assert attrs["reference_band"] == "f160w"
    check_colours(images, stamps, points.values(), 1, 6, 10)
    _, summed = opened(images, 48, rms=maps, zero_point=points)
    assert len(summed["x"]) > len(stamps["x"])  # the sum is deeper


def test_four_bands_of_hubble(tmp_path):
    where, folder = np.s_[:400, :400], DATA / "hst_xdf_4band"
    images = cropped(tmp_path, {b: f"{folder}/{b}_sci.fits.gz" for b in HST}, where)
    maps = cropped(tmp_path, {b: f"{folder}/{b}_wht.fits.gz" for b in HST}, where, "_wht")
    source, stamps = opened(images, 32, weight=maps, zero_point=HST, pixel_scale=0.06)
    assert len(stamps["x"]) > 30
    assert source.attrs()["zero_point"] == list(HST.values())
    assert stamps["image"].shape[1:] == (4, 32, 32)
    check_colours(images, stamps, HST.values(), 1, 6, 5)


def test_nine_bands_from_the_ground_are_prepared_and_trained_on(tmp_path, command):
    files = {band: f"{DATA}/kids_viking/{band}.fits" for band in KIDS}
    images = cropped(tmp_path, files, np.s_[1000:1400, 1000:1400])
    named = ", ".join(f"{band}: {path}" for band, path in images.items())
    points = ", ".join(f"{band}: {point}" for band, point in KIDS.items())
    words = [f"mosaic.images={{{named}}}", f"mosaic.zero_point={{{points}}}", "data.image_size=32"]
    words += ["mosaic.pixel_scale=0.3", "mosaic.detect=r", "data.file=kids.h5", "prepare.shards=1"]
    code, printed = command("prepare", "data=mosaic", *words)
    assert code == 0, printed
    assert "no RA and Dec" in printed
    file = StampFile("kids.h5")
    assert len(file) > 40
    assert file.bands == list(KIDS)
    assert file.bands[file.reference] == "r"
    # The seeing differs: smaller circles give other colours, and approach these as they grow.
    check_colours(images, file.columns, KIDS.values(), 2, 8, 8)
    # Its noise is 1e-12 in one half of the bands, and 10 in the other.
    assert np.ptp(np.log10(file.columns["noise_variance"]), axis=1).min() > 20
    train = ["data=mosaic", "data.file=kids.h5", "data.image_size=32", "model=vae", "model.width=4"]
    train += ["trainer.max_epochs=1", "data.batch_size=16", "callbacks.progress=null"]
    code, printed = command("train", *train, "callbacks.pictures=null", "trainer.accelerator=cpu")
    assert code == 0, printed


def test_blends_of_hsc_have_five_bands_weights_and_psfs():
    folder = DATA / "hsc_cosmos_blends"
    roles = {"images": "images", "weight": "weights", "psf": "psfs"}
    options = {role: f"{folder}/{{id}}.npz[{name}]" for role, name in roles.items()}
    source = cutout_scene.opened(bands=list("grizy"), zero_point=27.0, pixel_scale=0.168, **options)
    stamps = drawn(source)
    assert stamps["image"].shape == (25, 5, 58, 58)
    assert stamps["galaxy_id"][0] == 43158172147384603
    with np.load(folder / "43158172147384603.npz") as first:
        known = stamps["weight"][0] == 1
        inside = known[:, 29 - 18 : 29 + 18, 29 - 20 : 29 + 20]
        assert known.sum() == inside.sum() == (first["weights"] > 0).sum()
        image = (stamps["image"][0] + stamps["sky"][0, :, None, None])[known]
        np.testing.assert_allclose(image, first["images"][first["weights"] > 0], atol=1e-4)
        np.testing.assert_allclose(stamps["psf"][0].sum((1, 2)), 1, rtol=1e-5)
