"""Catalogues: what is in them, however they were cut, sliced and interrupted."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import h5py
import numpy as np
import pytest
import torch
import zarr
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from filelock import FileLock

import galgen
from galgen.catalogues.formats import fits_unit
from galgen.catalogues.rows import above_edge
from galgen.data.edges import edge_level
from galgen.data.stamp_file import StampFile
from galgen.evaluation.morphology.whole_stamps import half_light_radius
from galgen.generate import lines
from galgen.runs.trained_run import TrainedRun
from tests.catalogues.conftest import ENDINGS, digest, read


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_catalogue_holds_the_models_galaxies(generate, trained, ending):
    found = generate(f"mock{ending}", "n=40", "seed=3")
    assert found["galaxy_id"].tolist() == list(range(40))
    assert set(found["seed"]) == {3}
    assert (found["redshift"] > 0.5).all()
    assert (found["redshift"] < 2.5).all()
    assert len(set(found["redshift"])) == 40
    images = galgen.load(trained).sample(40, found["redshift"], seed=3)
    assert found["image"].dtype.itemsize == 4
    np.testing.assert_array_equal(found["image"], images)
    assert (found["flux_radius"] > 0).all()
    assert (found["flux_radius"] < 0.03 * 32 / np.sqrt(2)).all()
    assert "magnitude" not in found  # the peak normalisation threw the flux away


@pytest.mark.parametrize("floor", [0.0, 0.01])
def test_sizes_are_those_of_the_galaxy_and_not_of_the_floor(floor):
    y, x = np.mgrid[:64, :64] - 31.5
    sigma = np.array([2.0, 3.5, 5.0])[:, None, None]
    images = np.exp(-0.5 * (x**2 + y**2) / sigma**2) + floor * (1 + 0.2 * np.sin(x))
    radius = half_light_radius(above_edge(images))
    np.testing.assert_allclose(radius, 1.1774 * sigma[:, 0, 0], rtol=0.12)


@pytest.mark.parametrize("ending", ENDINGS)
def test_fluxes_and_magnitudes_of_a_run_in_counts(generate, physical, ending):
    found = generate(f"mock{ending}", "n=20", of=physical)
    images = galgen.load(physical).sample(20)
    np.testing.assert_array_equal(found["image"], images)
    np.testing.assert_allclose(found["flux"], images.sum(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found["magnitude"], 25.5 - 2.5 * np.log10(found["flux"]), rtol=1e-6)
    assert "redshift" not in found


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_bytes_at_any_batch_size(generate, ending):
    digests = set()
    for size in (1, 7, 64):
        generate(f"mock{size}{ending}", "n=53", f"batch_size={size}")
        digests.add(digest(Path(f"mock{size}{ending}")))
    assert len(digests) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_slice_is_that_slice(generate, ending):
    whole = generate(f"whole{ending}", "n=60")
    piece = generate(f"piece{ending}", "n=21", "start=27")
    for name, values in piece.items():
        np.testing.assert_array_equal(values, whole[name][27:48], err_msg=name)


def test_a_fits_catalogue_opens_with_its_scale_and_its_origin(generate, trained):
    generate("mock.fits", "n=5", "start=2")
    with fits.open("mock.fits") as file:
        header, table = file[0].header, file[1]
        wcs = WCS(header)
        scale = 3600 * proj_plane_pixel_scales(wcs.celestial)
        np.testing.assert_allclose(scale, 0.03, rtol=1e-9)
        assert wcs.celestial.pixel_to_world(15.5, 15.5).ra.arcsec == pytest.approx(0, abs=1e-9)
        assert file[0].shape == (5, 1, 32, 32)
        assert file[0].data.dtype == np.dtype(">f4")
        assert (header["RUN"], header["BUNIT"], header["CRVAL4"]) == ("tiny", "", 2)
        config = (trained / "config.yaml").read_bytes()
        assert header["CONFHASH"] == hashlib.sha256(config).hexdigest()
        assert "not observed" in header["RECIPE"]
        weights = (trained / "checkpoints" / "best.ckpt").read_bytes()
        assert header["WGTHASH"] == hashlib.sha256(weights).hexdigest()
        assert f"torch {torch.__version__}" in header["VERSIONS"]
        assert table.name == "GALAXIES"
        assert table.columns["flux_radius"].unit == "arcsec"
        assert len(table.data) == 5


def test_an_hdf5_catalogue_is_a_stamp_file_that_can_be_trained_on(generate, command):
    generate("mock.h5", "n=64")
    stamps = StampFile("mock.h5")
    assert (len(stamps), stamps.size, stamps.attrs["unit"]) == (64, 32, "relative brightness")
    assert stamps.attrs["run"] == "tiny"
    code, printed = command(
        "train", "model=vae", "data=mosaic", "data.file=mock.h5",
        "data.image_size=32", "data.batch_size=16",
        "model.width=4", "trainer.max_epochs=1", "callbacks.progress=null",
    )  # fmt: skip
    assert code == 0, printed
    code, printed = command("describe", "data.file=mock.h5")
    assert "64 galaxies, each in one stamp" in printed


def test_a_zarr_catalogue_is_sharded_and_says_where_it_is_from(generate, monkeypatch):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    generate("mock.zarr", "n=40")
    group = zarr.open_group("mock.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert (group["image"].shards, group["image"].chunks) == ((16, 1, 32, 32), (16, 1, 32, 32))
    assert len(list(Path("mock.zarr/image/c").iterdir())) == 3
    assert (group.attrs["run"], group.attrs["pixel_scale"]) == ("tiny", 0.03)


def test_redshifts_from_the_survey(generate, command, trained):
    found = read_after(command, trained, "redshift=survey")
    survey = np.linspace(0.1, 3, 80, dtype=np.float32)
    assert set(found["redshift"]) <= set(survey)
    found = read_after(command, trained, "redshift=[0.5,1.5]", "overwrite=true")
    assert found["redshift"].tolist() == [0.5, 1.5] * 5


def read_after(command, trained, *overrides):
    code, printed = command("generate", f"run={trained}", "n=10", "out=m.h5", *overrides)
    assert code == 0, printed
    return read(Path("m.h5"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_there_is_kept_unless_told_otherwise(generate, command, trained, ending):
    generate(f"m{ending}", "n=5")
    before = digest(Path(f"m{ending}"))
    arguments = [f"run={trained}", f"out=m{ending}", "redshift=1", "n=6"]
    code, printed = command("generate", *arguments)
    assert (code, "overwrite=true" in printed) == (1, True)
    assert digest(Path(f"m{ending}")) == before
    assert command("generate", *arguments, "overwrite=true")[0] == 0
    assert len(read(Path(f"m{ending}"))["image"]) == 6


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["run=nowhere"], "there is no such run"),
        (["run=null"], "run=None: there is no such run"),
        (["seed=9223372036854775808"], "seed=9223372036854775808"),
        (["start=1000000000000000000000"], "start=1000000000000000000000"),
        (["redshift=1e40"], "is not a redshift"),
        (["overwrite=maybe"], "true or false"),
        (["out=mock.csv"], "its ending sets the format"),
        (["out=mock"], "its ending sets the format"),
        (["n=0"], "n=0"),
        (["n=-3"], "n=-3"),
        (["n=1.5"], "n=1.5"),
        (["start=-1"], "start=-1"),
        (["seed=-1"], "seed=-1"),
        (["batch_size=0"], "batch_size=0"),
        (["prior=flow"], "prior=flow: it is not fitted to"),
        (["redshift=null"], "which needs a redshift"),
        (["redshift=-1"], "is not a redshift"),
        (["redshift=nan"], "is not a redshift"),
        (["redshift=2:1"], "a range is low:high"),
        (["redshift=near"], "give a number"),
        (["device=nonsense"], "device=nonsense"),
        (["m=3"], "no such key"),
    ],
)
def test_bad_input_is_a_sentence_and_leaves_nothing(command, trained, overrides, sentence):
    arguments = {"run": trained, "n": 4, "redshift": 1, "out": "m.h5"}
    arguments |= dict(item.split("=", 1) for item in overrides)
    code, printed = command("generate", *(f"{k}={v}" for k, v in arguments.items()))
    assert code == 1
    assert sentence in printed, printed
    assert "Traceback" not in printed
    assert list(Path().iterdir()) == []


def test_a_redshift_for_a_model_without(command, physical):
    code, printed = command("generate", f"run={physical}", "n=4", "redshift=1", "out=m.h5")
    assert (code, "does not use redshift" in printed) == (1, True)


def test_redshifts_beyond_the_trained_are_made_with_a_warning(command, trained):
    code, printed = command("generate", f"run={trained}", "n=4", "redshift=1:7", "out=m.h5")
    assert (code, "goes beyond the 0.1" in printed) == (0, True)


def test_an_unfinished_run_works_and_says_so(command, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "DONE").unlink()
    code, printed = command("generate", f"run={run}", "n=4", "redshift=1", "out=m.h5")
    assert (code, "not finished: these are its weights of epoch 2" in printed) == (0, True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_folder_that_is_no_catalogue_is_not_replaced(command, trained, ending):
    home = Path(f"home{ending}")
    home.mkdir()
    (home / "thesis.tex").touch()
    arguments = [f"run={trained}", "n=4", "redshift=1", f"out={home}", "overwrite=true"]
    code, printed = command("generate", *arguments)
    assert (code, "is not replaced" in printed) == (1, True)
    assert (home / "thesis.tex").exists()


def test_a_file_of_that_name_is_replaced_by_a_group(command, trained):
    Path("m.zarr").write_text("no group")
    arguments = [f"run={trained}", "n=4", "redshift=1", "out=m.zarr", "overwrite=true"]
    assert command("generate", *arguments)[0] == 0
    assert len(read(Path("m.zarr"))["image"]) == 4


def test_two_at_once(command, trained):
    Path("m.h5.unfinished").mkdir()
    with FileLock("m.h5.unfinished/.lock"):
        code, printed = command("generate", f"run={trained}", "n=4", "redshift=1", "out=m.h5")
    assert (code, "by another process" in printed) == (1, True)
    assert not Path("m.h5").exists()


def units_and_descriptions(path: Path) -> dict[str, tuple[str, str]]:
    """Read unit and description of images and columns in any format."""
    if path.suffix == ".fits":
        with fits.open(path) as file:
            image, table = file[0].header, file[1].header
            found = {"image": (image["BUNIT"], str(image["COMMENT"]))}
            for number, column in enumerate(file[1].columns, start=1):
                found[column.name] = (column.unit or "", table[f"TCOMM{number}"])
            return found
    if path.suffix == ".zarr":
        items = dict(zarr.open_group(path, mode="r").arrays())
        return {name: (a.attrs["unit"], a.attrs["description"]) for name, a in items.items()}
    with h5py.File(path) as file:
        return {name: (a.attrs["unit"], a.attrs["description"]) for name, a in file.items()}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_column_has_a_unit_and_a_description(generate, physical, ending):
    generate(f"mock{ending}", "n=3", of=physical)
    found = units_and_descriptions(Path(f"mock{ending}"))
    names = {"image", "galaxy_id", "seed", "flux", "magnitude", "flux_radius"}
    assert set(found) == names
    assert all(description for _, description in found.values())
    assert {u.Unit(found[name][0]) for name in ("image", "flux")} == {u.ct / u.s}
    assert (found["magnitude"][0], found["flux_radius"][0]) == ("mag", "arcsec")
    assert "through the survey's PSF, without noise" in found["image"][1].replace("\n", " ")
    assert "half of the image's light" in found["flux_radius"][1]
    for unit, _ in found.values():
        u.Unit(unit)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_level_at_the_edge_is_kept_or_subtracted(generate, trained, ending):
    kept = generate(f"kept{ending}", "n=20")
    found = generate(f"flat{ending}", "n=20", "edge=subtract")
    level = edge_level(kept["image"])
    assert (level > 0.1).all()  # of a sigmoid that has hardly been trained
    np.testing.assert_allclose(found["image"], kept["image"] - level[..., None, None], atol=1e-6)
    np.testing.assert_allclose(found["flux_radius"], kept["flux_radius"], rtol=1e-4)
    np.testing.assert_allclose(edge_level(found["image"]), 0, atol=1e-6)
    described = units_and_descriptions(Path(f"flat{ending}"))["image"][1].replace("\n", " ")
    assert "the level at the edge subtracted" in described


def test_a_line_tells_of_the_progress_where_there_is_no_bar(generate, monkeypatch, capsys):
    monkeypatch.setattr("galgen.generate.REPORTED_EVERY", 0)
    tell = lines(10)
    tell(20, 30)
    assert "20 of 30 galaxies, 0 s left" in capsys.readouterr().out
    tell(30, 30)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("erg/s/cm2/A", u.erg / u.s / u.cm**2 / u.AA),  # astropy alone reads ampere
        ("1e-20 erg/s/cm2/Angstrom", 1e-20 * u.erg / u.s / u.cm**2 / u.AA),
        ("W/m2/Hz", u.W / u.m**2 / u.Hz),
        ("ADU", u.adu),
        ("DN/s", u.adu / u.s),
        ("counts", u.ct),
        ("microJy", u.uJy),
    ],
)
def test_units_in_fits_are_those_of_the_survey(unit, expected):
    assert u.Unit(fits_unit(unit), format="fits") == u.Unit(expected)


@pytest.mark.parametrize(
    ("transform", "attributes", "unit"),
    [
        ("peak", {"galgen_schema": 1, "unit": "uJy"}, "peak"),
        ("physical", {"galgen_schema": 1, "unit": "uJy"}, "uJy"),
        ("physical", {"galgen_schema": 1}, "unknown"),
        ("physical", {}, "peak"),  # of a file in the original layout
    ],
)
def test_the_unit_of_a_run(transform, attributes, unit):
    facts = {"transform": {"name": transform}}
    run = SimpleNamespace(facts=facts, attributes=attributes)
    assert TrainedRun.unit.fget(run) == unit


@pytest.mark.parametrize(
    ("unit", "said"), [("nanomaggy", "nmgy"), ("e-/s", "electron / s"), (None, "unknown")]
)
def test_a_unit_that_fits_does_not_know_is_said_in_words(generate, physical, tmp_path, unit, said):
    run = shutil.copytree(physical, tmp_path / "run")
    facts = json.loads((run / "data.json").read_text())
    facts["attributes"].pop("unit")
    facts["attributes"] |= {"unit": unit} if unit else {}
    (run / "data.json").write_text(json.dumps(facts))
    found = generate("mock.fits", "n=2", of=run)
    np.testing.assert_allclose(found["flux"], found["image"].sum(axis=(1, 2, 3)), rtol=1e-5)
    with fits.open("mock.fits") as file:
        text = " ".join(file[0].header["COMMENT"])
        assert file[0].header["BUNIT"] == ""
    assert f"its unit is {said}" in text
    assert "brightest pixel" not in text
