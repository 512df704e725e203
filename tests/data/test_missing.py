"""Missing pixels: what marks them is taken, honest zeros stay data, and the user is told."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from galgen.data.surveys import fits_files
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from galgen.errors import GalgenError

SIDE = 300
HEADER = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 1.0})
HEADER.update({"CRPIX1": 150.0, "CRPIX2": 150.0, "CDELT1": -2e-5, "CDELT2": 2e-5, "BUNIT": "uJy"})
Y, X = np.mgrid[:SIDE, :SIDE]
PLACES = [(x, y) for x in (90, 150, 210) for y in (90, 150, 210)]
LIGHT = sum(np.exp(-((x - X) ** 2 + (y - Y) ** 2) / 18) for x, y in PLACES)
SKY = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE)) + 30 * LIGHT
COUNTS = np.random.default_rng(0).poisson(2 + 20 * LIGHT).astype(float)
NOWHERE = np.zeros((SIDE, SIDE), bool)


def frame(width: int) -> np.ndarray:
    border = np.ones((SIDE, SIDE), bool)
    border[width : SIDE - width, width : SIDE - width] = False
    return border


def turned(degrees: float, half: float) -> np.ndarray:
    angle, x, y = np.deg2rad(degrees), X - SIDE / 2, Y - SIDE / 2
    across, along = (abs(x * np.cos(a) + y * np.sin(a)) for a in (angle, angle + np.pi / 2))
    return (across > half) | (along > half)


def opened(path, image, **arguments) -> tuple[MosaicSource, np.ndarray]:
    """The source of an image or of an HDU, and which pixels it takes for missing."""
    hdu = image if isinstance(image, fits.CompImageHDU) else fits.ImageHDU(image, HEADER)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    source = MosaicSource(Mosaic(path, **arguments), 32)
    source.open()
    return source, source.mosaic.tiles[0].images[0].read((slice(0, SIDE), slice(0, SIDE)))[2] > 0


def are_the_places(source: MosaicSource) -> bool:
    found = sorted(zip(*(np.rint(source._columns[c]).astype(int) for c in "xy"), strict=True))
    return np.shape(found) == np.shape(PLACES) and np.abs(np.subtract(found, PLACES)).max() <= 1


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8", ">f8"])
def test_honest_zeros_are_data_in_numbers_of_any_kind(tmp_path, kind):
    assert (COUNTS == 0).mean() > 0.1
    source, missing = opened(tmp_path / "m.fits", COUNTS.astype(kind))
    assert not missing.any()
    assert are_the_places(source)
    assert not any("no data" in note for note in source.notes)
    # The noise of Poisson's counts of a mean of 2.
    np.testing.assert_allclose(source._columns["scatter"], np.sqrt(2), rtol=0.05)
    assert opened(tmp_path / "m.fits", COUNTS)[0].mosaic.tiles[0].images[0].border is None


@pytest.mark.parametrize("mean", [0.7, 1.4, 2.4, 5.3])
def test_the_sky_of_few_counts_is_their_mean(tmp_path, mean):
    counts = np.random.default_rng(1).poisson(mean + 20 * LIGHT)
    source, missing = opened(tmp_path / "m.fits", counts.astype("i2"))
    assert not missing.any()
    assert are_the_places(source)
    np.testing.assert_allclose(source._columns["sky"], mean, atol=0.1)
    assert np.median(source._columns["flux"]) == pytest.approx(20 * np.pi * 18, rel=0.06)


BORDERS = {
    "none": NOWHERE,
    "1 px": frame(1),
    "3 px": frame(3),
    "40 px": frame(40),
    "one side": X < 30,
    "turned": turned(8, 115),
    "hardly turned": turned(0.7, 147),
}


@pytest.mark.parametrize("value", [0, -99])
@pytest.mark.parametrize("case", BORDERS)
def test_an_empty_border_is_missing(tmp_path, case, value):
    empty = BORDERS[case]
    if value and case not in ("none", "40 px", "one side", "turned"):
        pytest.skip("only whole blocks tell another value than 0")
    source, missing = opened(tmp_path / "m.fits", np.where(empty, value, SKY).astype("f4"))
    np.testing.assert_array_equal(missing, empty)
    assert are_the_places(source)
    said = f"{empty.mean():.2%} by the empty border (pixels of {value})"
    assert any(said in note for note in source.notes) is (case != "none")
    assert not any("noise map" in note for note in source.notes)
    np.testing.assert_allclose(source._columns["scatter"], 1, rtol=0.06)


@pytest.mark.parametrize("case", ["40 px", "turned"])
def test_an_empty_border_beside_honest_zeros(tmp_path, case):
    empty = BORDERS[case]
    source, missing = opened(tmp_path / "m.fits", np.where(empty, 0, COUNTS).astype("i2"))
    assert missing[empty].all()
    assert missing[~empty].sum() < 50  # zeros beside the border
    assert are_the_places(source)


@pytest.mark.parametrize("tile", [None, (100, 100)])
@pytest.mark.parametrize(("method", "level"), [(1, 4), (2, 4), (-1, 4), (1, 16)])
@pytest.mark.parametrize("value", [0, -99])
def test_an_empty_border_that_compression_dithers(tmp_path, method, level, tile, value):
    empty = BORDERS["40 px"]
    packed = fits.CompImageHDU(
        np.where(empty, value, SKY).astype("f4"),
        HEADER,
        compression_type="RICE_1",
        quantize_method=method,
        quantize_level=level,
        tile_shape=tile,
        dither_seed=1,  # astropy would take it from the clock
    )
    source, missing = opened(tmp_path / "m.fits.fz", packed)
    assert missing[empty].all()
    assert missing[~empty].sum() < 15
    assert are_the_places(source)
    np.testing.assert_allclose(source._columns["scatter"], 1, rtol=0.06)
    for number in range(9):
        stamps, _ = source.draw([number])
        np.testing.assert_allclose(stamps["noise_variance"], 1, rtol=0.12)


def test_pixels_that_are_no_numbers_and_zeros_make_one_border(tmp_path):
    image = np.where(frame(40), 0, SKY)
    image[frame(9)] = np.nan
    source, missing = opened(tmp_path / "m.fits", image.astype("f4"))
    np.testing.assert_array_equal(missing, frame(40))
    notes = " ".join(source.notes)
    assert f"{frame(9).mean():.2%} by values that are not finite" in notes
    assert f"{(frame(40) & ~frame(9)).mean():.2%} by the empty border" in notes


def test_zeros_inside_are_data_unless_told(tmp_path):
    image = SKY.copy()
    hole = np.s_[32:64, 240:272]
    image[hole] = 0
    source, missing = opened(tmp_path / "m.fits", image)
    assert not missing.any()
    assert any("1.14% of the image lies in areas of 0 inside it" in n for n in source.notes)
    source, missing = opened(tmp_path / "m.fits", image, zeros="missing")
    assert missing.sum() == missing[hole].sum() == 32**2
    assert any("1.14% of the image has no data: 1.14% by zeros" in n for n in source.notes)
    _, missing = opened(tmp_path / "m.fits", np.where(frame(9), 0, SKY), zeros="data")
    assert not missing.any()
    with pytest.raises(ValueError, match=r"mosaic\.zeros=none: it can be border"):
        Mosaic("m.fits", zeros="none")


@pytest.mark.parametrize("form", ["i2", "i4", "scaled", "fpack"])
def test_blank_integers_are_missing(tmp_path, form):
    blank = (X > 20) & (X < 60)
    scale = {"BZERO": 5.0, "BSCALE": 0.5} if form == "scaled" else {}
    hdu = fits.PrimaryHDU(np.where(blank, -32768, COUNTS).astype("i4" if form == "i4" else "i2"))
    hdu.header.update({**HEADER, "BLANK": -32768, **scale})
    path = tmp_path / "m.fits"
    hdu.writeto(path)
    if form == "fpack":
        with fits.open(path, do_not_scale_image_data=True) as hdus:
            packed = fits.CompImageHDU(hdus[0].data, hdus[0].header)
        path = tmp_path / "m.fits.fz"
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    source = MosaicSource(Mosaic(path), 32)
    source.open()
    data, _, why = source.mosaic.tiles[0].images[0].read((slice(0, SIDE), slice(0, SIDE)))
    np.testing.assert_array_equal(why > 0, blank)
    expected = 5 + 0.5 * COUNTS if form == "scaled" else COUNTS
    np.testing.assert_array_equal(data[~blank], expected[~blank])


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
def test_a_mask_says_what_is_missing(tmp_path, kind):
    bad = X > 250
    flags = np.where(bad, 2 ** (1 + X % 6), 0).astype(kind)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flags, name="DQ")]).writeto(tmp_path / "dq.fits")
    for path in (tmp_path / "dq.fits", f"{tmp_path}/dq.fits[DQ]"):
        source, missing = opened(tmp_path / "m.fits", SKY, mask=path)
        np.testing.assert_array_equal(missing, bad)
    assert any(f"{bad.mean():.2%} by the mask" in note for note in source.notes)
    assert {name for name, _ in source.mosaic.hashes.values()} == {"m.fits", "dq.fits"}


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, 1e10, 1e30])
@pytest.mark.parametrize("role", ["rms", "weight"])
def test_marks_of_noise_maps_are_missing(tmp_path, role, value):
    bad = X > 250
    noise = np.full((SIDE, SIDE), 1.0) + 0.2 * (Y > 150)
    if role == "weight":
        value = 1 / value**2 if 1 < value < np.inf else value
        noise = noise**-2
    fits.writeto(tmp_path / "map.fits", np.where(bad, value, noise))
    source, missing = opened(tmp_path / "m.fits", SKY, **{role: tmp_path / "map.fits"})
    np.testing.assert_array_equal(missing, bad)
    assert any(f"{bad.mean():.2%} by the noise map" in note for note in source.notes)
    assert are_the_places(source)


@pytest.mark.parametrize("factor", [1e-34, 1e-21, 1e-8, 1e6, 1e25])
@pytest.mark.parametrize("role", [None, "rms", "weight"])
def test_one_sky_in_any_unit_gives_one_survey(tmp_path, factor, role):
    made = []
    for unit in (1, factor):
        noise = np.full((SIDE, SIDE), 1.1 * unit)
        fits.writeto(tmp_path / "map.fits", noise if role == "rms" else noise**-2.0, overwrite=True)
        maps = {role: tmp_path / "map.fits"} if role else {}
        source, _ = opened(tmp_path / "m.fits", SKY.astype("f4") * np.float64(unit), **maps)
        made.append(source.draw(range(len(source)))[0])
    for name, power in {"x": 0, "y": 0, "flux": 1, "noise_variance": 2, "background": 1}.items():
        np.testing.assert_allclose(made[1][name], made[0][name] * factor**power, rtol=1e-6)
    for name in ("galaxy_id", "flag"):
        np.testing.assert_array_equal(made[1][name], made[0][name])
    for name in ("flux_radius", "signal_to_noise"):
        np.testing.assert_allclose(made[1][name], made[0][name], rtol=1e-6)
    np.testing.assert_allclose(made[1]["image"] / factor, made[0]["image"], atol=1e-5)
    np.testing.assert_allclose(made[0]["noise_variance"], 1, rtol=0.06)


@pytest.mark.parametrize("factor", [1e-42, 1e60])
def test_numbers_that_stamps_cannot_hold_are_refused(tmp_path, factor):
    with pytest.raises(GalgenError, match=r"its noise is .* another unit"):
        opened(tmp_path / "m.fits", SKY * factor)


def test_the_border_does_not_depend_on_strips_and_sections(tmp_path, monkeypatch):
    empty = turned(8, 115)
    source, whole = opened(tmp_path / "m.fits", np.where(empty, 0, SKY))
    monkeypatch.setattr(fits_files, "STRIP", 32)
    source, stripes = opened(tmp_path / "m.fits", np.where(empty, 0, SKY))
    np.testing.assert_array_equal(whole, stripes)
    sections = [
        (slice(y, y + 100), slice(x, x + 100)) for y in (0, 100, 200) for x in (0, 100, 200)
    ]
    image = source.mosaic.tiles[0].images[0]
    for section in sections:
        np.testing.assert_array_equal(image.read(section)[2] > 0, whole[section])


@pytest.mark.parametrize("role", ["rms", "weight", "mask"])
@pytest.mark.parametrize("method", [-1, 1, 2])
def test_zeros_of_maps_that_compression_moves(tmp_path, role, method):
    bad = X < 100
    rng = np.random.default_rng(0)
    values = np.where(bad, 0, 1 + 0.05 * rng.normal(size=SKY.shape))
    values = np.where(bad, values + 5, 0) if role == "mask" else values
    values[0] += 1e-3 * rng.normal(size=SIDE) * (values[0] > 0)
    packed = fits.CompImageHDU(
        values.astype("f4"), HEADER, quantize_method=method, quantize_level=4, dither_seed=1
    )
    packed.writeto(tmp_path / "map.fits")
    _, missing = opened(tmp_path / "m.fits", SKY, **{role: tmp_path / "map.fits"})
    np.testing.assert_array_equal(missing, bad)


@pytest.mark.parametrize("value", [-99, 1e30, -32768])
def test_a_mark_of_the_border_is_one_inside_too(tmp_path, value):
    bad = (X < 40) | ((Y > 180) & (Y < 185) & (X > 100) & (X < 140))
    source, missing = opened(tmp_path / "m.fits", np.where(bad, value, SKY))
    np.testing.assert_array_equal(missing, bad)
    assert are_the_places(source)


def test_a_gap_between_chips_is_said(tmp_path):
    source, missing = opened(tmp_path / "m.fits", np.where((X > 177) & (X < 181), 0, SKY))
    assert not missing.any()
    assert any("1.00% of the image lies in areas of 0 inside it" in n for n in source.notes)


@pytest.mark.parametrize(("value", "said"), [(-500, True), (1e9, True), (-20, False), (99, False)])
def test_pixels_that_no_sky_has_are_said(tmp_path, value, said):
    image = SKY.copy()
    image[120, 40:43] = value
    notes = opened(tmp_path / "m.fits", image)[0].notes
    assert any(f"3 pixels are far below the sky or beyond any source, such as {value:g}" in n
               for n in notes) == said  # fmt: skip


def test_a_mask_that_marks_sources(tmp_path):
    fits.writeto(tmp_path / "mask.fits", (LIGHT > 0.1).astype("i2"))
    notes = opened(tmp_path / "m.fits", SKY, mask=tmp_path / "mask.fits")[0].notes
    assert any("mosaic.mask marks 100% of the bright pixels as missing and 1%" in n for n in notes)
    fits.writeto(tmp_path / "other.fits", (X < 120).astype("i2"))
    notes = opened(tmp_path / "m.fits", SKY, mask=tmp_path / "other.fits")[0].notes
    assert not any("bright pixels" in note for note in notes)


def test_bits_of_detected_sources_do_not_count(tmp_path):
    bad = X > 250
    with pytest.warns(VerifyWarning, match="HIERARCH"):
        header = fits.Header({"MP_BAD": 0, "MP_DETECTED": 5})
    fits.writeto(tmp_path / "mask.fits", (32 * (LIGHT > 0.1) + bad).astype("i4"), header)
    source, missing = opened(tmp_path / "m.fits", SKY, mask=tmp_path / "mask.fits")
    np.testing.assert_array_equal(missing, bad)
    assert "mosaic.mask: its bits DETECTED do not count" in source.notes
    assert are_the_places(source)


def test_a_mask_of_the_other_sense_is_named_where_nothing_is_found(tmp_path):
    fits.writeto(tmp_path / "mask.fits", (X > 40).astype("u1"))
    with pytest.raises(GalgenError, match=r"86\.33% by the mask"):
        opened(tmp_path / "m.fits", SKY, mask=tmp_path / "mask.fits")


def test_a_map_of_variances_is_suspected(tmp_path):
    fits.writeto(tmp_path / "map.fits", np.full(SKY.shape, 1e-4))
    notes = opened(tmp_path / "m.fits", SKY / 100, rms=tmp_path / "map.fits")[0].notes
    assert any(
        "Does it hold variances, relative weights, or another unit?" in note for note in notes
    )
