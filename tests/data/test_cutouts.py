"""Stamps of cutouts: each galaxy's own pixels in each band, in one size, unit and place."""

import gzip
import pickle

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits
from astropy.table import Table

from galgen.data.preparation import prepare
from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import write_stamps
from galgen.errors import GalgenError
from tests.data.cutout_scene import NOISE, SIDE, SKY, galaxy, opened, write, write_bands
from tests.data.mosaic_scene import drawn


def test_a_pattern_a_band_gives_each_galaxy_its_own_pixels(tmp_path):
    source = opened(write_bands(tmp_path, [7, 12, 3, 100]))
    stamps = drawn(source)
    assert stamps["galaxy_id"].tolist() == [3, 7, 12, 100]
    for image, sky, number in zip(stamps["image"], stamps["sky"], [3, 7, 12, 100], strict=True):
        for band, factor in enumerate((1, 2)):
            np.testing.assert_allclose(
                image[band] + sky[band], factor * galaxy(number), rtol=1e-5, atol=1e-4
            )
    np.testing.assert_allclose(stamps["sky"], [[SKY, 2 * SKY]] * 4, rtol=0.05)
    noise = np.sqrt(stamps["noise_variance"])
    np.testing.assert_allclose(noise, [[NOISE, 2 * NOISE]] * 4, rtol=0.2)
    assert (stamps["weight"] == 1).all()
    assert (stamps["has_band"] == 1).all()
    assert (stamps["flag"] == 0).all()
    attrs = source.attrs()
    assert attrs["bands"] == ["F115W", "F150W"]
    assert (attrs["unit"], attrs["zero_point"]) == ("nJy", pytest.approx([31.4, 31.4], abs=1e-3))
    assert attrs["pixel_scale"] == pytest.approx(0.03)


@pytest.mark.parametrize("form", ["integers", "scaled", "doubles", "fpack", "gzip", "npy", "npz"])
def test_all_forms_give_the_same_stamps(tmp_path, form):
    image = np.rint(10 * galaxy(1))
    write(tmp_path / "plain" / "1.fits", image.astype(np.float32))
    expected = drawn(opened(str(tmp_path / "plain")))
    path = tmp_path / "form" / "1.fits"
    path.parent.mkdir()
    if form == "integers":
        write(path, image.astype(np.int16))
    elif form == "scaled":
        hdu = fits.PrimaryHDU(image.astype(np.float32))
        hdu.scale("int32", bscale=0.5, bzero=100)
        hdu.writeto(path)
    elif form == "doubles":
        write(path, image.astype(">f8"))
    elif form == "fpack":
        hdu = fits.CompImageHDU(image.astype(np.float32), quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path.with_suffix(".fits.fz"))
    elif form == "gzip":
        plain = (tmp_path / "plain" / "1.fits").read_bytes()
        path.with_suffix(".fits.gz").write_bytes(gzip.compress(plain))
    elif form == "npy":
        np.save(path.with_suffix(".npy"), image.astype(">f4"))
    else:
        np.savez(path.with_suffix(".npz"), image=image.astype(np.float32))
    stamps = drawn(opened(str(tmp_path / "form")))
    for name, values in expected.items():
        np.testing.assert_array_equal(stamps[name], values)


def test_the_extension_is_chosen_by_its_name(tmp_path):
    for number in range(3):
        extensions = [
            fits.PrimaryHDU(header=fits.Header({"FILTER": "F814W"})),
            fits.ImageHDU(np.full((SIDE, SIDE), 9.0), name="ERR"),
            fits.ImageHDU(galaxy(number), fits.Header({"BUNIT": "uJy"}), name="SCI"),
        ]
        fits.HDUList(extensions).writeto(tmp_path / f"{number}.fits")
    source = opened(str(tmp_path), rms=f"{tmp_path}/{{id}}.fits[ERR]")
    stamps = drawn(source)
    np.testing.assert_allclose(stamps["image"][1, 0] + stamps["sky"][1], galaxy(1), rtol=1e-5)
    np.testing.assert_array_equal(stamps["noise_variance"], 81.0)
    assert source.attrs()["bands"] == ["F814W"]
    assert source.attrs()["zero_point"] == pytest.approx([23.9], abs=1e-3)
    assert any("0.05" in note and "cutouts.rms" in note for note in source.notes)


@pytest.mark.parametrize(("side", "size"), [(32, 20), (33, 20), (33, 21), (20, 32), (21, 32)])
def test_cutouts_are_cropped_and_padded_around_their_centre(tmp_path, side, size):
    image = np.full((side, side), 1.0, np.float32)
    image[:, ::2] = 1.25  # so that the edges vary
    image[side // 2, side // 2] = 100
    write(tmp_path / "1.fits", image)
    stamps = drawn(opened(str(tmp_path), size, rms=0.1))
    stamp = stamps["image"][0, 0]
    assert stamp.shape == (size, size)
    assert np.unravel_index(stamp.argmax(), stamp.shape) == (size // 2, size // 2)
    known = stamps["weight"][0, 0] == 1
    assert known.sum() == min(side, size) ** 2
    assert stamps["flag"] == (4 if side > size else 2)
    assert np.abs(stamp[~known]).max(initial=0) < 1
    if not known.all():
        assert stamp[~known].std() == pytest.approx(0.1, rel=0.1)


def test_a_galaxy_away_from_the_centre_is_brought_there(tmp_path):
    for number, centre in enumerate([(20, 13), (16, 16)]):
        write(tmp_path / f"{number}.fits", galaxy(number, centre=centre))
    images = drawn(opened(str(tmp_path), 16, recentre=True))["image"]
    peaks = [np.unravel_index(image[0].argmax(), (16, 16)) for image in images]
    assert np.abs(np.array(peaks) - 8).max() <= 1


def test_pixels_without_data_have_no_weight_and_are_noise(tmp_path):
    image, rms = galaxy(1), np.full((SIDE, SIDE), NOISE, np.float32)
    image[:4], rms[-3:] = np.nan, 0
    write(tmp_path / "sci_1.fits", image)
    write(tmp_path / "rms_1.fits", rms)
    pattern = f"{tmp_path}/sci_{{id}}.fits"
    stamps = drawn(opened(pattern, rms=pattern.replace("sci", "rms")))
    assert (stamps["weight"][0, 0] == 0).sum() == 7 * SIDE
    stamp = stamps["image"][0, 0]
    assert np.isfinite(stamp).all()
    assert stamp[:4].std() == pytest.approx(NOISE, rel=0.2)
    assert stamps["flag"] == 1
    assert stamps["noise_variance"] == pytest.approx(NOISE**2)
    weight = np.where(rms > 0, 1 / np.where(rms > 0, rms, 1) ** 2, 0)
    write(tmp_path / "rms_1.fits", weight.astype(np.float32))
    again = drawn(opened(pattern, weight=pattern.replace("sci", "rms")))
    np.testing.assert_allclose(again["image"], stamps["image"], atol=1e-5)


def test_the_sky_is_left_where_that_is_asked(tmp_path):
    write(tmp_path / "1.fits", galaxy(1))
    stamps = drawn(opened(str(tmp_path), 40, sky="none"))
    np.testing.assert_array_equal(stamps["image"][0, 0, 4:-4, 4:-4], galaxy(1))
    assert stamps["sky"] == 0
    assert np.median(stamps["image"][0, 0, :4]) == pytest.approx(SKY, abs=0.2)


def test_a_band_that_some_galaxies_lack_has_no_weight(tmp_path):
    patterns = write_bands(tmp_path)
    (tmp_path / "f150w" / "field_2_v2.fits").unlink()
    write(tmp_path / "f115w" / "field_5.fits", np.full((SIDE, SIDE), np.nan, np.float32))
    source = opened(patterns)
    write_stamps(tmp_path / "s.h5", [drawn(source)], source.attrs())
    stamps = StampFile(tmp_path / "s.h5")
    source.review(stamps.columns)
    lacking = [(2, "F150W"), (5, "F115W")]
    for number in range(8):
        expected = [(number, band) not in lacking for band in stamps.bands]
        assert stamps.has_band[number].tolist() == expected
    assert (stamps.read(slice(2, 3), SIDE, "weight")[0, 1] == 0).all()
    assert np.isnan(stamps.columns["noise_variance"][5]).tolist() == [True, False]
    notes = "\n".join(source.notes)
    assert "1 of 8 galaxies have no file in F150W" in notes
    assert "1 of 8 stamps have no data in F115W, and weight 0" in notes


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5", "zarr", "fits"])
@pytest.mark.parametrize("last", [False, True])
def test_an_array_file_has_a_row_a_galaxy(tmp_path, kind, last):
    cube = np.stack([[galaxy(n), 2 * galaxy(n), 3 * galaxy(n)] for n in range(5)])
    array = np.moveaxis(cube, 1, -1) if last else cube
    ids = np.array(["a1", "b2", "c3", "d4", "e5"])
    path = tmp_path / f"cube.{kind}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, images=array, other=np.zeros((5, 2)))
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["group/images"], file["ids"] = array, ids.astype("S")
    elif kind == "zarr":
        zarr = pytest.importorskip("zarr")
        zarr.save_array(path, array)
    else:
        fits.writeto(path, array)
    options = {"ids": f"{path}[ids]"} if kind == "hdf5" else {}
    stamps = drawn(opened(str(path), bands=["g", "r", "i"], **options))
    found = stamps["image"] + stamps["sky"][..., None, None]
    np.testing.assert_allclose(found, cube, rtol=1e-5, atol=1e-3)
    assert stamps["galaxy_id"].tolist() == list(range(5))
    if options:
        assert stamps["catalogue_id"].tolist() == ids.astype("S").tolist()


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "vot", "parquet"])
def test_a_table_is_joined_by_the_name(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        pytest.importorskip("pandas")
    write_bands(tmp_path, [f"{n:04d}" for n in range(8)])
    table = Table(
        {"ID": [5, 3, 99, 0], "zspec": [0.5, -99, 0.9, 0.1], "mag_f150w": [25.0, 99, 1, 2]}
    )
    table["R50"] = [4.0, 6.0, 1.0, 2.0]
    path = tmp_path / f"table.{suffix}"
    if suffix in ("ecsv", "fits", "vot"):
        table["R50"].unit = "pix"
    formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}
    table.write(path, format=formats.get(suffix, suffix))
    source = opened(write_bands(tmp_path, []), table=path)
    stamps = drawn(source)
    assert stamps["galaxy_id"].tolist() == list(range(8))
    assert stamps["catalogue_id"][3] == b"0003"
    expected = np.full(8, np.nan)
    expected[[5, 0]] = 0.5, 0.1
    np.testing.assert_allclose(stamps["redshift"], expected, rtol=1e-6)
    assert stamps["magnitude"][5].tolist() == pytest.approx([np.nan, 25.0], nan_ok=True)
    assert np.isnan(stamps["magnitude"][3]).all()
    assert source.attrs()["reference_band"] == "F150W"
    scale = 1.0 if suffix in ("csv", "parquet") else 0.03
    assert stamps["flux_radius"][5] == pytest.approx(4 * scale)
    notes = "\n".join(source.notes)
    assert "5 of 8 galaxies are not in" in notes
    assert "1 row of" in notes
    assert "mag_f150w" in notes
    assert ("no unit" in notes) == (scale == 1)


def test_a_table_is_joined_row_by_row_to_an_array(tmp_path):
    np.save(tmp_path / "cube.npy", np.stack([galaxy(n) for n in range(4)]))
    (tmp_path / "t.csv").write_text("name,z\nd,0.4\nc,0.3\nb,0.2\na,0.1\n")
    source = opened(str(tmp_path / "cube.npy"), bands=["r"], table=tmp_path / "t.csv")
    stamps = drawn(source)
    assert stamps["catalogue_id"].tolist() == [b"d", b"c", b"b", b"a"]
    np.testing.assert_allclose(stamps["redshift"], [0.4, 0.3, 0.2, 0.1], rtol=1e-6)
    assert any("joined row by row" in note for note in source.notes)


def test_cutouts_of_other_zero_points_are_brought_to_the_first(tmp_path):
    for number in range(4):
        point = 25.0 + (2.5 if number == 2 else 0)
        write(tmp_path / f"{number}.fits", galaxy(number), BUNIT="adu", ABMAGZP=point)
    stamps = drawn(opened(str(tmp_path)))
    np.testing.assert_allclose(stamps["image"][2, 0] + stamps["sky"][2], galaxy(2) / 10, rtol=1e-5)
    np.testing.assert_allclose(stamps["image"][1, 0] + stamps["sky"][1], galaxy(1), rtol=1e-5)


def test_cutouts_of_different_filters_are_counted(tmp_path):
    patterns = write_bands(tmp_path)
    assert not any("filters" in note or "contradict" in note for note in opened(patterns).notes)
    write(tmp_path / "f150w" / "field_3_v2.fits", galaxy(3), FILTER="F444W")
    write(tmp_path / "f150w" / "field_5_v2.fits", galaxy(5), FILTER=None)
    told = (
        "the 8 cutouts that were looked at have different filters in their headers: "
        "F150W in 6, F444W in 1. Are they of one band?"
    )
    assert f"F150W: {told}" in opened(patterns).notes
    assert told in opened(patterns["F150W"]).notes
    swapped = {"F150W": patterns["F115W"], "F115W": patterns["F150W"]}
    assert (
        "the headers contradict cutouts.images, that of F150W names F115W, that of F115W names "
        "F150W. Are the files of these bands swapped?"
    ) in opened(swapped).notes


def test_bands_of_different_units_are_brought_to_nanojansky(tmp_path):
    patterns = write_bands(tmp_path, range(3))
    for number in range(3):
        write(tmp_path / "f150w" / f"field_{number}_v2.fits", galaxy(number) / 1000, BUNIT="uJy")
    source = opened(patterns)
    stamps = drawn(source)
    levels = stamps["image"] + stamps["sky"][..., None, None]
    np.testing.assert_allclose(levels[:, 1], levels[:, 0], rtol=1e-3)
    assert source.attrs()["unit"] == "nJy"
    assert any("units differ" in note and "nJy" in note for note in source.notes)


@pytest.mark.parametrize("kind", ["one", "each"])
def test_psfs_sum_to_one(tmp_path, kind):
    patterns = write_bands(tmp_path, range(3))
    psf = np.zeros((2, 9, 9))
    psf[:, 4, 4], psf[1, 4, 5] = 3, 1
    (tmp_path / "p").mkdir()
    for number in range(2):
        np.save(tmp_path / "p" / f"{number}.npy", psf)
    given = tmp_path / "p" / ("0.npy" if kind == "one" else "{id}.npy")
    source = opened(patterns, psf=str(given))
    stamps = drawn(source)
    found = source.tables()["psf"] if kind == "one" else stamps["psf"]
    assert found.shape == (1 if kind == "one" else 3, 2, 9, 9)
    np.testing.assert_allclose(found[0].sum((1, 2)), 1)
    np.testing.assert_allclose(found[0, 1, 4, 4:6], [0.75, 0.25])
    if kind == "each":
        assert stamps["has_psf"].tolist() == [1, 1, 0]


def test_stamps_do_not_depend_on_the_block(tmp_path):
    source = opened(write_bands(tmp_path), 40)
    together, copy = drawn(source), pickle.loads(pickle.dumps(source))
    for number in (7, 0):
        alone, _ = copy.draw(range(number, number + 1))
        for name, values in alone.items():
            np.testing.assert_array_equal(values[0], together[name][number])
    assert copy.draw(range(0))[0]["image"].shape == (0, 2, 40, 40)


def test_a_changed_cutout_changes_the_recipe(tmp_path):
    patterns = write_bands(tmp_path)
    source = opened(patterns)
    assert opened(patterns).attrs()["recipe"] == source.attrs()["recipe"]
    write(tmp_path / "f115w" / "field_3.fits", galaxy(30))
    assert opened(patterns).attrs()["recipe"] != source.attrs()["recipe"]


@pytest.mark.parametrize(
    "file", ["f115w/field_3.fits", "t.csv", "psf.npy", "link.h5", "w.zarr/s.h5"]
)
def test_no_file_of_the_users_is_replaced(tmp_path, file):
    images = write_bands(tmp_path)
    (tmp_path / "t.csv").write_text("id,z\n1,2\n")
    np.save(tmp_path / "psf.npy", np.ones((2, 5, 5)))
    zarr.save_array(str(tmp_path / "w.zarr"), np.ones((8, 2, SIDE, SIDE)))
    (tmp_path / "link.h5").symlink_to(tmp_path / "t.csv")
    source = opened(images, table=f"{tmp_path}/t.csv", psf=f"{tmp_path}/psf.npy")
    if "zarr" in file:
        source = opened(f"{tmp_path}/w.zarr", bands=["g", "r"])
    before = sorted(tmp_path.rglob("*")), (tmp_path / "t.csv").read_text()
    with pytest.raises(GalgenError, match=r"^data.file=.*: the stamps are made of .* Give another"):
        prepare(source, tmp_path / file, overwrite=True)
    assert (sorted(tmp_path.rglob("*")), (tmp_path / "t.csv").read_text()) == before


def test_files_among_the_shards_are_not_replaced(tmp_path):
    write(tmp_path / "s.h5.shards" / "1.fits", galaxy(1))
    with pytest.raises(GalgenError, match=r"the stamps are made of .*s.h5.shards, and this"):
        prepare(opened(f"{tmp_path}/s.h5.shards"), tmp_path / "s.h5", overwrite=True)


def test_the_reasons_why_no_galaxy_has_a_stamp(tmp_path):
    cube = np.stack([np.ones((8, 8)), np.full((8, 8), np.nan), np.ones((8, 8))])
    np.save(tmp_path / "c.npy", cube)
    source = opened(f"{tmp_path}/c.npy")
    source.shards = source.processes = 1
    says = r"its pixels have one value \(2\); no pixel has data \(1\)\. .* Give other files\.$"
    with pytest.raises(GalgenError, match=rf"^cutouts.images=.*c.npy: none of the 3 .*: {says}"):
        prepare(source, tmp_path / "s.h5")
