"""Several bands from the survey to the catalogue."""

import importlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import zarr
from astropy.io import fits
from PIL import Image

import galgen
from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError
from tests.conftest import NO_PICTURES, discs, run_command

BANDS, POINTS = ["g", "r", "i"], [25.0, 25.5, 26.0]


def write_colours(path) -> None:
    """Write 80 discs in three bands, whose colours depend on the redshift."""
    redshift = np.linspace(0.1, 2, 80)
    colour = np.stack([np.ones(80), 1 + redshift, 2 + redshift**2], axis=1)
    rng = np.random.default_rng(0)
    image = 10 * discs(80)[:, None] * colour[:, :, None, None]
    with h5py.File(path, "w") as file:
        file["image"] = (image + rng.normal(size=image.shape)).astype("f4")
        file["redshift"], file["galaxy_id"] = redshift, np.arange(80)
        file["noise_variance"] = np.ones((80, 3), "f4")
        file.attrs.update(galgen_schema=2, survey="mine", bands=BANDS, unit="counts/s")
        file.attrs.update(pixel_scale=0.2, zero_point=POINTS)


TRAINING = [
    *("data=file", "data.batch_size=16", "model=residual_cvae", "model.width=4"),
    *("model.latent_dim=3", "trainer.max_epochs=1", "callbacks.progress=null"),
    *("trainer.accelerator=cpu", NO_PICTURES),
]


@pytest.fixture(scope="module")
def colourful(tmp_path_factory):
    """A run of three bands."""
    folder = tmp_path_factory.mktemp("bands")
    write_colours(folder / "colours.h5")
    words = [*TRAINING, f"data.file={folder / 'colours.h5'}"]
    run_command("train", *words, f"run_root={folder}", "run_name=colourful")
    return folder / "colourful"


def test_a_run_has_the_bands_of_its_survey(colourful):
    run = galgen.load(colourful)
    assert (run.bands, run.zero_points) == (BANDS, POINTS)
    assert run.model.bands == run.sample(2, 0.5).shape[1] == 3
    images = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    assert run.reconstruct(images, 0.5).shape == images.shape
    with pytest.raises(ValueError, match=r"takes \(N, 3, 32, 32\)"):
        run.encode(images[:, 0], 0.5)


def test_a_training_takes_the_bands_that_it_is_given(command, colourful, tmp_path):
    words = [*TRAINING, "run_name=two"]
    survey = colourful.parent / "colours.h5"
    code, printed = command("train", *words, f"data.file={survey}", "data.bands=[i,g]")
    assert code == 0, printed
    run = galgen.load("runs/two")
    assert (run.bands, run.zero_points) == (["i", "g"], [26.0, 25.0])
    batch, whole = run.survey.first("val", 3), galgen.load(colourful).survey.first("val", 3)
    np.testing.assert_allclose(
        run.physical(batch.image),
        galgen.load(colourful).physical(whole.image)[:, [2, 0]],
        rtol=1e-5,
    )
    code, printed = command("train", *words, f"data.file={survey}", "data.bands=[y]")
    assert (code, "has no band y. Give some of [g,r,i]" in printed) == (1, True)


@pytest.mark.parametrize("ending", [".fits", ".h5", ".zarr"])
def test_catalogues_have_bands_and_magnitudes_in_each(command, colourful, ending):
    code, printed = command("generate", f"run={colourful}", "n=5", "redshift=1", f"out=m{ending}")
    assert code == 0, printed
    images = galgen.load(colourful).sample(5, 1.0)
    if ending == ".fits":
        with fits.open("m.fits") as file:
            header, table = file[0].header, file[1].data
            found = {name: table[name] for name in ("flux", "magnitude")}
            found["image"] = file[0].data
        assert [header[f"BAND{number}"] for number in (1, 2, 3)] == BANDS
        assert [header[f"MAGZERO{number}"] for number in (1, 2, 3)] == POINTS
        assert header["CTYPE3"] == "BAND"
    else:
        file = h5py.File("m.h5") if ending == ".h5" else zarr.open_group("m.zarr", mode="r")
        found = {name: file[name][:] for name in ("image", "flux", "magnitude")}
        assert list(file.attrs["bands"]) == BANDS
        assert list(file.attrs["zero_point"]) == POINTS
    np.testing.assert_array_equal(found["image"], images)
    flux = images.sum(axis=(2, 3), dtype=float)
    np.testing.assert_allclose(found["flux"], flux, rtol=1e-5)
    np.testing.assert_allclose(found["magnitude"], POINTS - 2.5 * np.log10(flux), rtol=1e-5)
    if ending == ".h5":
        stamps = StampFile("m.h5")
        assert (stamps.bands, stamps.zero_points) == (BANDS, POINTS)


def test_galsim_takes_one_band(colourful):
    images = galgen.load(colourful).sample(2, 0.5)
    for number, band in enumerate(BANDS):
        galaxies = galgen.galsim_objects(colourful, 2, 0.5, band=band)
        for galaxy, image in zip(galaxies, images, strict=True):
            np.testing.assert_allclose(galaxy.image.array, image[number], rtol=1e-6)
    with pytest.raises(GalgenError, match=r"several\. Give one of g, r, i"):
        galgen.galsim_objects(colourful, 1, 0.5)
    with pytest.raises(GalgenError, match=r"band=z: .* no such band. It has g, r, i"):
        galgen.galsim_objects(colourful, 1, 0.5, band="z")


@pytest.mark.parametrize("figure", ["reconstruction", "samples", "interpolation", "traversal"])
@pytest.mark.parametrize(
    ("bands", "shape", "caption"),
    [
        (None, (32, 32, 3), "red i, green r, blue g, in "),
        (["g"], (32, 32), "g; asinh stretch from 0 to "),
        ("all", (3 * 32 + 2, 32), "asinh stretch from 0 to "),
    ],
)
def test_a_run_of_several_bands_is_drawn_in_colour(colourful, figure, bands, shape, caption):
    module = importlib.import_module(f"galgen.figures.{figure}")
    drawn = getattr(module, figure.capitalize())(bands=bands).draw(galgen.load(colourful))[figure]
    panel = next(axis for axis in drawn.axes if axis.images)
    assert panel.images[0].get_array().shape == shape
    assert drawn.texts[-1].get_text().startswith(caption)


def test_bands_are_chosen_on_the_command_line(command, colourful, trained):
    words = [f"run={colourful}", "figure=samples", "n=2", "out=figures"]
    code, printed = command("plot", *words, "bands=[g,r,i]")
    assert (code, "figures/samples_n2_bandsg-r-i.png" in printed) == (0, True), printed
    for run, given, sentence in (
        (colourful, "bands=[y]", "bands=[y]: the run has no band y. Give some of [g,r,i]."),
        (colourful, "cmap=gray", "cmap=gray: these pictures have the colours of several bands"),
        (trained, "bands=[i,r,g]", "bands=[i,r,g]: the run has one band"),
    ):
        code, printed = command("plot", f"run={run}", "figure=samples", given, "out=more")
        assert (code, sentence in " ".join(printed.split())) == (1, True), printed
    assert not Path("more").exists()


def test_pictures_of_a_training_are_in_colour(command, colourful):
    words = [word for word in TRAINING if word != NO_PICTURES]
    words += [f"data.file={colourful.parent / 'colours.h5'}", "run_name=drawn"]
    for bands, reason in (("[y]", "the run has no band y"), ("[g,g]", "g stands twice")):
        code, printed = command("train", *words, f"callbacks.pictures.bands={bands}")
        assert (code, f"callbacks.pictures.bands={bands}: {reason}" in printed) == (1, True)
    assert not Path("runs/drawn").exists()
    code, printed = command("train", *words)
    assert code == 0, printed
    picture = np.asarray(Image.open("runs/drawn/figures/reconstruction_epoch0001.png"))
    saturation = np.ptp(picture[:300, 250:, :3].astype(int), axis=2)
    assert saturation.max() > 100


def test_networks_of_several_bands_are_exported(command, colourful):
    code, printed = command("export", f"run={colourful}", "format=torchscript", "out=out")
    assert code == 0, printed
    decoder = torch.jit.load("out/decoder.pt")
    assert decoder(torch.randn(2, 3), torch.ones(2)).shape == (2, 3, 32, 32)
