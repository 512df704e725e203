"""Stamps of mosaics: the right galaxies, in the right places, with the light they have."""

import gzip
import json
import pickle
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.mosaic_source import MosaicSource
from galgen.data.surveys.mosaic.source_table import read_catalogue
from galgen.errors import GalgenError
from tests.conftest import SHARED

SHAPE = 240, 300
SIZE = 32
SKY, NOISE, SCALE = 5.0, 1.0, 0.1
XDF = SHARED / "data" / "xdf" / "xdf_hst_wfc3ir_60mas"


def sky_wcs() -> WCS:
    """A tangential projection, turned by 30 degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (150.0, 2.2), (100.0, 50.0)
    turn = np.deg2rad(30)
    wcs.wcs.cd = np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * (
        SCALE / 3600
    )
    return wcs


WORLD = sky_wcs()
HEADER = WORLD.to_header()


def scene() -> tuple[np.ndarray, Table]:
    """Gaussian galaxies 45 px apart in white noise, and their truth."""
    rng = np.random.default_rng(1)
    y, x = (grid.ravel() + 30.0 for grid in np.mgrid[:200:45, :260:45])
    truth = Table({"x": x + rng.uniform(-4, 4, x.size), "y": y + rng.uniform(-4, 4, x.size)})
    truth["flux"], truth["sigma"] = rng.uniform(1000, 4000, len(x)), rng.uniform(1.8, 2.8, len(x))
    sky = WORLD.pixel_to_world(truth["x"], truth["y"])
    truth["ra"], truth["dec"] = sky.ra, sky.dec
    truth["z"] = rng.uniform(0.1, 3, len(x)).round(3)
    truth["id"] = rng.permutation(len(x)) + 1000
    image = rng.normal(SKY, NOISE, SHAPE)
    for row in truth:
        image += gaussian(row["x"], row["y"], row["flux"], row["sigma"])
    return image.astype(np.float32), truth


def gaussian(x: float, y: float, flux: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = (columns - x) ** 2 + (rows - y) ** 2
    return flux * np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)


IMAGE, TRUTH = scene()


@pytest.fixture
def survey(tmp_path):
    """Return a function that writes an image and opens the source of its stamps."""

    def make(image=IMAGE, size: int = SIZE, header=HEADER, **arguments) -> MosaicSource:
        path = tmp_path / "mosaic.fits"
        fits.writeto(path, image, header, overwrite=True)
        source = MosaicSource(Mosaic(path, **{"zero_point": 25.0, **arguments}), size)
        source.open()
        return source

    return make


def drawn(source: MosaicSource) -> dict[str, np.ndarray]:
    arrays, reasons = source.draw(range(len(source)))
    assert reasons == {}
    return arrays


def truth_of(stamps: dict[str, np.ndarray]) -> tuple[Table, np.ndarray]:
    """The true galaxy of each stamp, and its distance in px."""
    distance = np.hypot(
        stamps["x"][:, None] - TRUTH["x"].data, stamps["y"][:, None] - TRUTH["y"].data
    )
    return TRUTH[distance.argmin(1)], distance.min(1)


def test_every_galaxy_is_found_where_it_is_and_with_its_light(survey):
    stamps = drawn(survey())
    truth, distance = truth_of(stamps)
    assert len(stamps["image"]) == len(TRUTH) == len(set(truth["id"]))
    assert distance.max() < 0.3
    place = SkyCoord(stamps["ra"], stamps["dec"], unit="deg")
    separation = place.separation(SkyCoord(truth["ra"], truth["dec"]))
    assert separation.arcsec.max() < 0.3 * SCALE
    np.testing.assert_allclose(stamps["flux"], truth["flux"], rtol=0.06)
    assert np.median(stamps["flux"] / truth["flux"]) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(stamps["magnitude"], 25 - 2.5 * np.log10(stamps["flux"]))
    # Half of a Gaussian's light is within 1.1774 sigma.
    np.testing.assert_allclose(stamps["flux_radius"], 1.1774 * truth["sigma"] * SCALE, rtol=0.06)
    np.testing.assert_allclose(stamps["noise_variance"], NOISE**2, rtol=0.06)
    np.testing.assert_allclose(stamps["background"], NOISE, rtol=0.2)  # white
    error = NOISE * stamps["flux"] / stamps["signal_to_noise"]  # of Kron's ellipse
    assert ((error > 10) & (error < 40)).all()
    np.testing.assert_array_equal(stamps["galaxy_id"], np.arange(len(TRUTH)))
    assert np.isnan(stamps["redshift"]).all()


def test_stamps_are_the_pixels_around_the_galaxy_without_the_sky(survey):
    stamps = drawn(survey(neighbours="keep", size=24))
    inside = stamps["flag"] == 0
    assert inside.sum() > 15
    for image, x, y in zip(stamps["image"], stamps["x"], stamps["y"], strict=True):
        top, left = round(y) - 12, round(x) - 12
        expected = IMAGE[top : top + 24, left : left + 24] - SKY
        if expected.shape == (24, 24):
            np.testing.assert_allclose(image, expected, atol=0.2)
            np.testing.assert_allclose(np.ptp(image - expected), 0, atol=1e-4)  # one level a stamp
    assert np.abs(np.median(stamps["image"][inside][:, :3])) < 0.1


def test_tiles_have_no_seams(survey, monkeypatch):
    whole = drawn(survey(size=24))
    monkeypatch.setattr(detection, "TILE", 75)
    monkeypatch.setattr(detection, "MARGIN", 40)
    source = survey(size=24)
    assert len(source._tiles) == 16
    tiled = drawn(source)
    assert len(tiled["x"]) == len(whole["x"])
    here, there = np.lexsort((whole["x"], whole["y"])), np.lexsort((tiled["x"], tiled["y"]))
    for name, tolerance in {"x": 0.1, "y": 0.1, "flux": 60, "image": 1.0}.items():
        if name == "image":
            kept = (whole["flag"][here] == 0) & (tiled["flag"][there] == 0)
            here, there = here[kept], there[kept]
        np.testing.assert_allclose(tiled[name][there], whole[name][here], atol=tolerance)


def test_a_galaxy_on_a_seam_is_one_galaxy(survey, monkeypatch):
    monkeypatch.setattr(detection, "TILE", 150)
    image = np.random.default_rng(2).normal(0, 1, SHAPE)
    places = [(149.5, 60.0), (149.5, 119.5), (60.0, 119.5), (150.2, 180.0), (220.0, 120.3)]
    for x, y in places:
        image += gaussian(x, y, 3000, 3)
    stamps = drawn(survey(image.astype(np.float32)))
    found = sorted(zip(stamps["x"].round(1), stamps["y"].round(1), strict=True))
    np.testing.assert_allclose(found, sorted(places), atol=0.3)


def test_stamps_do_not_depend_on_the_block(survey, monkeypatch):
    monkeypatch.setattr(detection, "TILE", 150)
    source = survey(size=64)
    together, _ = source.draw(range(len(source)))
    copy = pickle.loads(pickle.dumps(source))
    assert set(together["flag"]) >= {0, 1, 2, 3}
    for number in (7, 0, len(source) - 1):
        alone, _ = copy.draw([number])
        for name, values in alone.items():
            np.testing.assert_array_equal(values[0], together[name][number])
    nothing, _ = copy.draw(range(0))
    assert nothing["image"].shape == (0, 64, 64)
    assert nothing["galaxy_id"].dtype == nothing["flag"].dtype == np.int64


@pytest.mark.parametrize("form", ["extensions", "gzip", "fpack", "big-endian doubles", "integers"])
def test_all_forms_of_fits_give_the_same_stamps(survey, tmp_path, form):
    image = (IMAGE * 8).round() if form == "integers" else IMAGE
    path, hdu = tmp_path / "form.fits", None
    expected = drawn(survey(image.astype(np.float32)))
    primary = fits.PrimaryHDU(header=fits.Header({"FILTER": "F160W"}))
    if form == "extensions":
        other, sci = fits.ImageHDU(image[:9], name="WHT"), fits.ImageHDU(image, HEADER, name="SCI")
        fits.HDUList([primary, other, sci]).writeto(path)
        hdu = "sci"
    elif form == "gzip":
        fits.writeto(tmp_path / "plain.fits", image, HEADER)
        path = tmp_path / "form.fits.gz"
        with open(tmp_path / "plain.fits", "rb") as plain, gzip.open(path, "wb") as packed:
            shutil.copyfileobj(plain, packed)
    elif form == "fpack":
        packed = fits.CompImageHDU(image, HEADER, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([primary, packed]).writeto(path)
    elif form == "integers":
        fits.writeto(path, image.astype(np.int16), HEADER)
    else:
        fits.writeto(path, image.astype(float), HEADER)
    source = MosaicSource(Mosaic(path, hdu=hdu, zero_point=25.0), SIZE)
    source.open()
    stamps = drawn(source)
    for name, values in expected.items():
        np.testing.assert_array_equal(stamps[name], values)
    assert source.attrs()["band"] == ("F160W" if form in ("extensions", "fpack") else "unknown")


@pytest.mark.parametrize("value", [np.nan, 0])
def test_galaxies_at_pixels_without_data_are_flagged_and_filled(survey, value):
    image = IMAGE.copy()
    image[:, :56] = value
    stamps = drawn(survey(image, size=48))
    assert len(stamps["x"]) == (TRUTH["x"] > 56).sum()
    left, top = np.rint(stamps["x"]) - 24, np.rint(stamps["y"]) - 24
    touching = (left < 56) | (top < 0) | (left + 48 > SHAPE[1]) | (top + 48 > SHAPE[0])
    np.testing.assert_array_equal(stamps["flag"] & 1, touching)
    assert 0 < touching.sum() < len(touching)
    places = zip(stamps["image"], left, strict=True)
    filled = np.concatenate(
        [stamp[:, : max(0, 56 - int(start))].ravel() for stamp, start in places]
    )
    assert filled.size > 300
    assert filled.std() == pytest.approx(NOISE, rel=0.1)
    assert abs(filled.mean()) < 0.15


def test_a_weight_map_says_the_same_as_a_noise_map(survey, tmp_path):
    noise = np.full(SHAPE, 2.0, np.float32)
    noise[:, 150:] = 4.0
    noise[100:140] = 0
    fits.writeto(tmp_path / "rms.fits", noise)
    weight = np.divide(1, noise**2, out=np.zeros(SHAPE, np.float32), where=noise > 0)
    maps = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(weight, name="WHT")])
    maps.writeto(tmp_path / "maps.fits")
    rms = drawn(survey(rms=tmp_path / "rms.fits"))
    one = drawn(survey(weight=f"{tmp_path}/maps.fits[WHT]"))
    two = drawn(survey(weight=f"{tmp_path}/maps.fits[1]"))
    for name, values in rms.items():
        np.testing.assert_array_equal(one[name], values)
        np.testing.assert_array_equal(two[name], values)
    assert not ((rms["y"] > 100) & (rms["y"] < 139)).any()
    left, right = (rms["noise_variance"][chosen] for chosen in (rms["x"] < 130, rms["x"] > 170))
    np.testing.assert_allclose(right / left[0], 4, rtol=1e-6)
    assert (rms["flag"][(rms["y"] > 140) & (rms["y"] < 150)] & 1).all()


def test_the_scale_of_the_noise_map_is_compared_with_the_image(survey, tmp_path):
    fits.writeto(tmp_path / "rms.fits", np.full(SHAPE, 2 * NOISE, np.float32))
    source = survey(rms=tmp_path / "rms.fits")
    assert any("is 0.5" in note and "noise map" in note for note in source.notes)
    assert len(source) == len(TRUTH)  # the threshold is of the noise that there is
    assert not any("noise map" in note for note in survey().notes)
    stamps = drawn(source)
    np.testing.assert_allclose(stamps["noise_variance"], NOISE**2, rtol=0.05)
    np.testing.assert_allclose(stamps["background"], NOISE, rtol=0.2)


def pair(separation: float) -> np.ndarray:
    image = np.random.default_rng(3).normal(SKY, NOISE, SHAPE)
    image += gaussian(100, 100, 4000, 2.5) + gaussian(100 + separation, 100, 6000, 2.5)
    return image.astype(np.float32)


@pytest.mark.parametrize("separation", [11, 20])
def test_neighbours_are_replaced_masked_or_kept(survey, separation):
    image = pair(separation)
    ways = "noise", "mask", "keep"
    stamps = {way: drawn(survey(image, size=48, neighbours=way)) for way in ways}
    left = stamps["keep"]["x"].argmin()
    assert [len(s["x"]) for s in stamps.values()] == [2, 2, 2]
    kept, masked, replaced = (stamps[way]["image"][left] for way in ways[::-1])
    np.testing.assert_allclose(kept, image[76:124, 76:124] - SKY, atol=0.3)
    neighbour = np.s_[20:29, 20 + separation : 29 + separation]
    weight = stamps["mask"]["weight"][left]
    assert weight.dtype == np.float32
    assert set(np.unique(weight)) == {0, 1}
    assert (weight[neighbour] == 0).all()
    assert (weight[20:29, 20:29] == 1).all()
    np.testing.assert_array_equal(masked[weight == 0], 0)
    np.testing.assert_array_equal(masked[weight == 1], kept[weight == 1])
    np.testing.assert_array_equal(replaced[weight == 1], kept[weight == 1])
    assert kept[neighbour].mean() > 20
    assert abs(replaced[neighbour].mean()) < 0.6
    assert replaced[weight == 0].std() == pytest.approx(NOISE, rel=0.2)
    blended = 4 * (separation == 11)
    assert stamps["keep"]["flag"].tolist() == [blended] * 2
    assert stamps["noise"]["flag"].tolist() == stamps["mask"]["flag"].tolist() == [2 + blended] * 2
    assert "weight" not in stamps["noise"]


def test_drawn_noise_is_correlated_as_that_of_the_mosaic(survey):
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(600, 600)), 0.9)
    noise /= noise.std()
    known = noise.copy()
    known[100:200, 200:400] = np.nan
    kernel = detection.noise_filter(detection.lagged_products(known))
    made = detection.draw_noise(kernel, 600, rng)
    assert made.std() == pytest.approx(1, abs=0.02)
    for y, x in [(0, 1), (1, 0), (1, 1), (2, 0), (0, 5)]:
        there, here = np.roll(noise, (y, x), (0, 1)) * noise, np.roll(made, (y, x), (0, 1)) * made
        assert here.mean() == pytest.approx(there.mean(), abs=0.03)
    image = gaussian_filter(IMAGE, 0.9)
    image[:, :50] = np.nan
    stamps = drawn(survey(image, size=64))
    filled = stamps["image"][stamps["x"] < 80][:, :, :4]
    assert filled.size > 1000
    correlation = (filled[:, 1:] * filled[:, :-1]).mean() / filled.var()
    assert correlation == pytest.approx(np.exp(-1 / (4 * 0.9**2)), abs=0.1)


def test_a_stamp_of_one_value_is_left_out(survey):
    image = IMAGE.copy()
    image[100:104, 100:104] = 1e4  # saturated
    source = survey(image, size=2)
    _, reasons = source.draw(range(len(source)))
    assert len(reasons) == 1
    assert "one value" in next(iter(reasons.values()))


def write_catalogue(table: Table, path) -> None:
    formats = {"fits": "fits", "ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable"}
    name = path.name.removesuffix(".gz")
    table.write(path.with_name(name), format=formats[name.split(".")[-1]])
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.with_name(name).read_bytes()))


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "csv", "vot", "fits.gz", "csv.gz", "ecsv.gz"])
def test_a_catalogue_gives_galaxies_redshifts_and_identifiers(survey, tmp_path, suffix):
    rows = np.random.default_rng(4).permutation(len(TRUTH))[:10]
    table = TRUTH["id", "ra", "dec", "z"][rows]
    table["z"][:3] = [-99, 9.99, 0.0]
    table.add_row([1, 150.0, 2.2, 1.0])  # no galaxy there
    table.add_row([2, 10.0, -40.0, 1.0])
    path = tmp_path / f"catalogue.{suffix}"
    write_catalogue(table, path)
    source = survey(catalogue=path)
    stamps = drawn(source)
    truth, distance = truth_of(stamps)
    assert distance.max() < 0.3
    np.testing.assert_array_equal(stamps["galaxy_id"], truth["id"])
    assert set(stamps["galaxy_id"]) == set(TRUTH["id"][rows])
    unknown = np.isin(truth["id"], TRUTH["id"][rows[:3]])
    expected = np.where(unknown, np.nan, truth["z"]).astype(np.float32)
    np.testing.assert_array_equal(stamps["redshift"], expected)
    notes = " ".join(source.notes)
    assert "10 of the catalogue's 11 galaxies" in notes
    assert "1 lie outside" in notes
    assert "1 catalogue entries have no detection" in notes
    assert notes.endswith("ids 1")
    assert json.loads(source.attrs()["source_files"]).keys() == {"mosaic.fits", path.name}


@pytest.mark.parametrize("axes", [("GLON-TAN", "GLAT-TAN"), ("ELON-TAN", "ELAT-TAN")])
def test_a_catalogue_and_an_image_in_other_coordinates(survey, tmp_path, axes):
    header = HEADER.copy()
    header["CTYPE1"], header["CTYPE2"] = axes
    del header["RADESYS"]
    sky = WCS(header).pixel_to_world(TRUTH["x"], TRUTH["y"]).icrs
    table = Table({"id": TRUTH["id"], "ra": sky.ra, "dec": sky.dec})
    table.write(tmp_path / "c.fits")
    stamps = drawn(survey(header=header, catalogue=tmp_path / "c.fits"))
    truth, distance = truth_of(stamps)
    assert len(truth) == len(TRUTH)
    assert distance.max() < 0.3
    np.testing.assert_array_equal(stamps["galaxy_id"], truth["id"])
    order = [list(TRUTH["id"]).index(number) for number in truth["id"]]
    there = SkyCoord(stamps["ra"], stamps["dec"], unit="deg")
    assert there.separation(sky[order]).arcsec.max() < 0.3 * SCALE


def test_files_of_one_name_are_told_apart(survey, tmp_path):
    (tmp_path / "maps").mkdir()
    fits.writeto(tmp_path / "maps" / "mosaic.fits", np.full(SHAPE, NOISE))
    attrs = survey(rms=tmp_path / "maps" / "mosaic.fits").attrs()
    assert json.loads(attrs["source_files"]).keys() == {"mosaic.fits (image)", "mosaic.fits (rms)"}


def coordinates(kind: str) -> dict:
    """The true positions in other units and under other names."""
    sky = SkyCoord(TRUTH["ra"], TRUTH["dec"])
    return {
        "sexagesimal": lambda: {
            "RAJ2000": sky.ra.to_string("hour", sep=":", precision=4),
            "DEJ2000": sky.dec.to_string("deg", sep=":", precision=3),
        },
        "letters": lambda: {
            "ra": sky.ra.to_string("hour", precision=4),
            "dec": sky.dec.to_string("deg", precision=3),
        },
        "hours": lambda: {"ALPHA_J2000": sky.ra.hour * u.hourangle, "DELTA_J2000": sky.dec},
        "time": lambda: {"ra": sky.ra.hour * u.hour, "dec": sky.dec},
        "radians": lambda: {"RA": sky.ra.rad * u.rad, "DEC": sky.dec.rad * u.rad},
        "no unit": lambda: {"ra_deg": sky.ra.deg, "dec_deg": sky.dec.deg},
        "named": lambda: {"east": sky.ra.deg, "north": sky.dec.deg},
        "ucd": lambda: {"east": sky.ra, "north": sky.dec},
    }[kind]()


KINDS = ["sexagesimal", "letters", "hours", "time", "radians", "named", "ucd"]


@pytest.mark.parametrize("kind", [*KINDS, "no unit"])
def test_coordinates_in_all_units(tmp_path, kind):
    table = Table(coordinates(kind))
    if kind == "ucd":
        table["east"].meta["ucd"], table["north"].meta["ucd"] = "pos.eq.ra;meta.main", "POS.EQ.DEC"
    path = tmp_path / "c.ecsv"
    table.write(path)
    columns = {"ra": "east", "dec": "north"} if kind == "named" else {}
    found = read_catalogue(path, columns)
    np.testing.assert_allclose(found.ra, TRUTH["ra"], atol=1e-6)
    np.testing.assert_allclose(found.dec, TRUTH["dec"], atol=1e-6)
    assert found.galaxy_id is None
    assert any("has a name of redshifts, they are unknown" in note for note in found.notes)


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"z_spec": 1, "zBest": 2, "mag": 3}, "zBest"),
        ({"PHOTOZ": 2, "z_err": 1}, "PHOTOZ"),
        ({"r": 1, "i": 1, "z": 1, "ZPHOT": 2}, "ZPHOT"),
        ({"r": 1, "i": 1, "z": 1}, None),
    ],
)
def test_which_column_is_the_redshift(tmp_path, columns, name):
    table = Table({"ra": [10.0], "dec": [1.0], **{key: [value] for key, value in columns.items()}})
    table.write(tmp_path / "c.csv")
    found = read_catalogue(tmp_path / "c.csv", {})
    np.testing.assert_array_equal(found.redshift, [np.nan if name is None else columns[name]])


@pytest.mark.parametrize(
    ("ids", "integers", "text"),
    [
        ([3, 1], [3, 1], None),
        ([3, 3], None, [b"3", b"3"]),
        (["a", "bcd"], None, [b"a", b"bcd"]),
    ],
)
def test_identifiers(tmp_path, ids, integers, text):
    table = Table({"ra": [10.0, -11.0], "dec": [1.0, 1.0], "ID": ids})
    table["z"] = MaskedColumn([0.5, 0.7], mask=[True, False])
    table.write(tmp_path / "c.fits")
    found = read_catalogue(tmp_path / "c.fits", {})
    assert integers is None or found.galaxy_id.tolist() == integers
    assert text is None or found.catalogue_id.tolist() == text
    np.testing.assert_allclose(found.redshift, [np.nan, 0.7])
    np.testing.assert_array_equal(found.ra, [10, 349])


def test_galaxies_without_integer_identifiers_are_numbered(survey, tmp_path):
    table = TRUTH["ra", "dec"][:7]
    table["name"] = [f"galaxy {number}" for number in range(7)]
    table.write(tmp_path / "c.fits")
    stamps = drawn(survey(catalogue=tmp_path / "c.fits"))
    np.testing.assert_array_equal(stamps["galaxy_id"], np.arange(7))
    truth, _ = truth_of(stamps)
    expected = [f"galaxy {list(TRUTH['id']).index(number)}".encode() for number in truth["id"]]
    assert stamps["catalogue_id"].tolist() == expected
    assert np.isnan(stamps["redshift"]).all()


def test_matching_is_one_to_one_and_the_nearest_wins(survey, tmp_path):
    table = TRUTH["id", "ra", "dec", "z"][:3]
    table.add_row([1, table["ra"][0] + 0.15 / 3600, table["dec"][0], 9.0])
    table.write(tmp_path / "c.fits")
    source = survey(catalogue=tmp_path / "c.fits")
    assert set(drawn(source)["galaxy_id"]) == set(TRUTH["id"][:3])
    assert source.notes[-1].startswith("1 catalogue entries are left out, their detection is")
    assert source.notes[-1].endswith("another entry's: ids 1")


def test_attributes_change_with_what_the_stamps_depend_on(survey):
    header = HEADER.copy()
    header["BUNIT"], header["FILTER2"], header["FILTER1"] = "nJy", "F814W", "CLEAR1L"
    source = survey(header=header, zero_point=None)
    attrs = source.attrs()
    assert (attrs["survey"], attrs["band"], attrs["unit"]) == ("mosaic", "F814W", "nJy")
    assert attrs["pixel_scale"] == pytest.approx(SCALE)
    assert attrs["zero_point"] == pytest.approx(31.4, abs=0.01)
    assert any("31.4" in note and "BUNIT" in note for note in source.notes)
    others = [{"threshold": 4.0}, {"neighbours": "keep"}, {"size": 30}, {"image": IMAGE + 1}]
    recipes = {survey(header=header, **other).attrs()["recipe"] for other in others}
    assert len(recipes | {attrs["recipe"]}) == 5
    blind = survey(zero_point=None)
    assert "zero_point" not in blind.attrs()
    assert np.isnan(drawn(blind)["magnitude"]).all()


def with_header(**cards) -> fits.Header:
    header = HEADER.copy()
    for name, value in cards.items():
        header[name] = value
    return header


BAD_IMAGES = {
    "no WCS": (IMAGE, fits.Header(), "no celestial WCS"),
    "spectrum": (IMAGE, with_header(CTYPE1="WAVE", CTYPE2="LINEAR"), "WCS"),
    "oblong pixels": (IMAGE, with_header(PC1_1=5e-5, PC1_2=0, PC2_1=0, PC2_2=2e-5), "not square"),
    "cube": (np.stack([IMAGE, IMAGE]), HEADER, "3 axes"),
    "all NaN": (IMAGE * np.nan, HEADER, r"no data \(100.00% .* by values that are not finite"),
    "all zero": (IMAGE * 0, HEADER, r"no data \(100.00% .* empty border \(pixels of 0\)"),
    "constant": (IMAGE * 0 + 3, HEADER, r"no data \(100.00% .* \(pixels of 3\)"),
    "two pixels": (np.where(np.sort(IMAGE, None)[-3] < IMAGE, IMAGE, np.nan), HEADER, "too few"),
    "noise": (np.random.default_rng(0).normal(size=SHAPE), HEADER, "no source .* Lower mosaic"),
    "smaller than a stamp": (IMAGE[:30], HEADER, "image_size=32: .* 300 x 30 px"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images_that_cannot_be_used(survey, case):
    image, header, words = BAD_IMAGES[case]
    with pytest.raises(GalgenError, match=words):
        survey(image, header=header)


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "truncated gzip", "empty"])
def test_damaged_images(tmp_path, damage):
    path = tmp_path / "damaged.fits"
    fits.writeto(tmp_path / "good.fits", IMAGE, HEADER)
    good = (tmp_path / "good.fits").read_bytes()
    contents = {"text": b"ra,dec\n1,2\n", "truncated": good[: len(good) // 2], "empty": b""}
    contents["truncated gzip"] = gzip.compress(good)[:100_000]
    if damage != "missing":
        path.write_bytes(contents[damage])
    with pytest.raises(GalgenError, match=r"damaged\.fits") as error:
        MosaicSource(Mosaic(path), SIZE).open()
    assert ("there is no file" in str(error.value)) is (damage == "missing")


@pytest.mark.parametrize("hdu", [5, "ERR", 0, "5"])
def test_extensions_that_are_not_there(tmp_path, hdu):
    path = tmp_path / "m.fits"
    images = [fits.ImageHDU(IMAGE, HEADER, name=name) for name in ("SCI", "WHT")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    with pytest.raises(GalgenError, match=r"no image extension .*1 \(SCI, 300 x 240\), 2 \(WHT"):
        MosaicSource(Mosaic(path, hdu=hdu), SIZE).open()
    fits.PrimaryHDU().writeto(path, overwrite=True)
    with pytest.raises(GalgenError, match="has no image"):
        MosaicSource(Mosaic(path, hdu=hdu), SIZE).open()


@pytest.mark.parametrize("name", ["rms", "weight"])
def test_maps_of_other_pixels(survey, tmp_path, name):
    fits.writeto(tmp_path / "map.fits", IMAGE[:-1])
    with pytest.raises(GalgenError, match=f"mosaic.{name}: .* 300 x 239 px, the image 300 x 240"):
        survey(**{name: tmp_path / "map.fits"})
    with pytest.raises(GalgenError, match=f"mosaic.{name}=.*: there is no file"):
        survey(**{name: tmp_path / "none.fits"})


BAD_CATALOGUES = {
    "empty": ("ra,dec\n", {}, "no rows"),
    "nothing": ("", {}, "c.csv"),
    "not a table": ("\x00\xff\x01", {}, "cannot be read as a table"),
    "no position": ("a,b\n1,2\n", {}, "mosaic.columns.ra=<name>, one of a, b"),
    "two": ("RA,ra,dec\n1,1,2\n", {}, "RA, ra could each be the ra. Give mosaic.columns.ra="),
    "redshifts": ("ra,dec,zspec,zphot\n1,2,3,4\n", {}, "zspec, zphot could each be the redshift"),
    "no such column": ("ra,dec\n1,2\n", {"redshift": "w"}, "mosaic.columns.redshift=w: .*ra, dec"),
    "not angles": ("ra,dec\nx,y\n", {}, "does not hold angles"),
    "out of range": ("ra,dec\n4000,100\n", {}, r"column ra \(ra\) does not hold angles of -180"),
    "redshift in words": (
        "ra,dec,z\n1,2,far\n",
        {},
        r"column z \(redshift\) does not hold numbers",
    ),
    "elsewhere": ("ra,dec\n1,2\n3,4\n", {}, "none of its 2 galaxies .*0 of them are in the image"),
}


@pytest.mark.parametrize("case", BAD_CATALOGUES)
def test_catalogues_that_cannot_be_used(survey, tmp_path, case):
    text, columns, words = BAD_CATALOGUES[case]
    (tmp_path / "c.csv").write_text(text, encoding="latin-1")
    with pytest.raises(GalgenError, match=words):
        survey(catalogue=tmp_path / "c.csv", columns=columns)
    with pytest.raises(GalgenError, match="there is no file"):
        survey(catalogue=tmp_path / "none.csv")


def test_units_that_are_no_angles(tmp_path):
    Table({"ra": [1.0] * u.m, "dec": [1.0]}).write(tmp_path / "c.ecsv")
    with pytest.raises(GalgenError, match=r"column ra \(ra, unit m\) does not hold angles"):
        read_catalogue(tmp_path / "c.ecsv", {})


@pytest.mark.parametrize(
    "argument",
    [
        {"threshold": 0},
        {"min_pixels": 0},
        {"match_radius": -1.0},
        {"neighbours": "blur"},
        {"columns": {"redshfit": "z"}},
    ],
)
def test_arguments_out_of_range(argument):
    name = next(iter(argument))
    with pytest.raises(ValueError, match=rf"mosaic\.{name}"):
        Mosaic("m.fits", **argument)


def test_two_maps_are_one_too_many():
    with pytest.raises(GalgenError, match=r"mosaic\.rms=.*mosaic\.weight=.* is given too"):
        Mosaic("m.fits", rms="r.fits", weight="w.fits")


@pytest.mark.skipif(not XDF.parent.is_dir(), reason="no shared data")
@pytest.mark.parametrize("band", ["f105w", "f160w"])
def test_the_extreme_deep_field(band):
    maps = {"rms": f"{XDF}_{band}_rms.fits"}
    source = MosaicSource(Mosaic(f"{XDF}_{band}_sci.fits", **maps), 48)
    source.open()
    assert 25 <= len(source) <= 32
    stamps = drawn(source)
    attrs = source.attrs()
    assert (attrs["band"], attrs["unit"]) == (band, "electron / s")
    assert attrs["pixel_scale"] == pytest.approx(0.06)
    assert (stamps["signal_to_noise"] > 3).all()
    sky = stamps["image"][:, [0, -1]]
    assert abs(np.median(sky)) < 1e-4  # the noise of a pixel is 5e-4
    assert sky.std() == pytest.approx(4.7e-4, rel=0.15)
    bright = stamps["image"][stamps["signal_to_noise"] > 12]
    np.testing.assert_array_equal(bright[:, 20:29, 20:29].max((1, 2)), bright.max((1, 2)))
