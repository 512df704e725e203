"""A run's galaxies in GalSim: the stamps themselves, and the configuration type."""

from pathlib import Path

import galsim
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

import galgen
from galgen.catalogues.galsim_galaxies import loaded, objects
from galgen.config.paths import CONF
from galgen.config.targets import instantiate
from galgen.errors import GalgenError
from galgen.import_weights import write_run
from galgen.models.blocks import DECODE_BLOCK
from galgen.models.telescope import convolve
from galgen.runs.directory import Run
from galgen.runs.requested_conditions import training_redshifts
from galgen.runs.trained_run import TrainedRun
from tests.conftest import only_run

SCALE, SIZE, REDSHIFT = 0.03, 32, 0.7
COUNTS = {"unit": "counts/s", "pixel_scale": 0.05, "zero_point": [25.94]}


def make_run(folder: Path, *overrides: str, attributes: dict | None = None) -> Path:
    """Write a run of a small model with random weights."""
    small = [f"data.image_size={SIZE}", "model.width=4", "model.latent_dim=3"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*small, f"run_root={folder}", "run_name=run", *overrides])
    torch.manual_seed(1)
    state = instantiate(config.model).state_dict()
    if "decoder.linear1.weight" in state:
        state["decoder.linear1.weight"] *= 30  # galaxies that differ from each other
    run = Run(config)
    write_run(config, run, state, {"file": "weights", "attributes": attributes or {}})
    return run.directory


@pytest.fixture(scope="module")
def peak_run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("peak"), "model=cvae2", "data=cosmos")


@pytest.fixture(scope="module")
def counts_run(tmp_path_factory) -> Path:
    overrides = ("model=vae", "data=cosmos", "transform=none", "model.output=softplus")
    return make_run(tmp_path_factory.mktemp("counts"), *overrides, attributes=COUNTS)


def stamps(run: Path, n: int, redshift=None, **numbers) -> np.ndarray:
    return galgen.load(run).sample(n, redshift=redshift, **numbers)[:, 0].astype(float)


def redrawn(galaxy: galsim.GSObject, scale: float) -> np.ndarray:
    return galaxy.drawImage(nx=SIZE, ny=SIZE, scale=scale, method="no_pixel", dtype=float).array


def field(run: Path, **keys) -> dict:
    """Return the configuration of four galaxies side by side, in the native pixels."""
    return {
        "modules": ["galgen.catalogues.galsim_galaxies"],
        "gal": {"type": "GalgenGalaxy", "run": str(run), **keys},
        "stamp": {"draw_method": "no_pixel"},
        "image": {
            "type": "Tiled",
            "nx_tiles": 4,
            "ny_tiles": 1,
            "stamp_size": SIZE,
            "pixel_scale": SCALE,
            "random_seed": 5,
        },
    }


def drawn(config: dict) -> np.ndarray:
    """Return the four stamps, (4, SIZE, SIZE)."""
    galsim.config.ImportModules(config)
    image = galsim.config.BuildImage(config).array
    return image.reshape(SIZE, 4, SIZE).swapaxes(0, 1)


def build(run: Path, **keys) -> galsim.GSObject:
    return galsim.config.BuildGSObject(field(run, **keys), "gal")[0]


def test_native_pixels_give_the_stamp_back(peak_run):
    expected = stamps(peak_run, 3, REDSHIFT)
    assert np.ptp(expected, axis=(1, 2)).min() > 0.1
    for galaxy, stamp in zip(objects(peak_run, 3, REDSHIFT), expected, strict=True):
        np.testing.assert_allclose(redrawn(galaxy, SCALE), stamp, atol=1e-6)
        assert galaxy.flux == pytest.approx(stamp.sum(), rel=1e-6)
        assert galaxy.redshift == REDSHIFT


@pytest.mark.parametrize("scale", [0.05, 0.2])
def test_other_pixels_hold_the_same_flux(peak_run, scale):
    side = round(2 * SIZE * SCALE / scale)
    for galaxy in objects(peak_run, 3, REDSHIFT):
        image = galaxy.drawImage(nx=side, ny=side, scale=scale)
        assert image.array.sum() == pytest.approx(galaxy.flux, rel=0.01)


def test_the_light_keeps_its_place_and_size_under_a_ground_based_psf(peak_run):
    psf = galsim.Kolmogorov(fwhm=0.7)
    [galaxy] = objects(peak_run, 1, REDSHIFT)
    image = galsim.Convolve(galaxy, psf).drawImage(nx=64, ny=64, scale=0.2, dtype=float)
    assert image.array.sum() == pytest.approx(galaxy.flux, rel=0.01)
    stamp = galaxy.image.array
    weights = image.array / image.array.sum(), stamp / stamp.sum()
    for axis in (0, 1):
        across, native = (
            np.sum(part.sum(axis=axis) * (np.arange(len(part)) - (len(part) - 1) / 2) * pixel)
            for part, pixel in zip(weights, (0.2, SCALE), strict=True)
        )
        assert across == pytest.approx(native, abs=0.01)


def test_light_in_front_of_the_telescope_convolved_by_galsim_is_what_the_model_observes(tmp_path):
    overrides = ("model=galaxy_vae", "model.latent_dim=272", "model.width=8", "data=simulated")
    run = make_run(tmp_path, *overrides, attributes=COUNTS)
    seen_through = galsim.Gaussian(fwhm=0.15)
    psf = seen_through.drawImage(nx=15, ny=15, scale=0.05, method="no_pixel", dtype=float).array
    for galaxy, light in zip(objects(run, 2), stamps(run, 2), strict=True):
        stack = [torch.from_numpy(planes)[None, None] for planes in (light, psf)]
        expected = convolve(*stack)[0, 0].numpy()[8:-8, 8:-8]
        image = redrawn(galsim.Convolve(galaxy, seen_through), 0.05)[8:-8, 8:-8]
        np.testing.assert_allclose(image, expected, atol=0.002 * expected.max())
        assert abs(image - light[8:-8, 8:-8]).max() > 0.02 * expected.max()
        assert galaxy.smallest_scale == pytest.approx(0.1)


def test_counts_per_second_where_the_run_has_them(counts_run):
    assert TrainedRun(counts_run).unit == "counts/s"
    for galaxy, stamp in zip(objects(counts_run, 2), stamps(counts_run, 2), strict=True):
        assert galaxy.flux == pytest.approx(stamp.sum(), rel=1e-6)
        np.testing.assert_allclose(redrawn(galaxy, 0.05), stamp, atol=1e-5 * stamp.max())


def test_an_asinh_transform_is_undone(tmp_path):
    overrides = ("model=vae", "transform=asinh", "transform.scale=0.5", "model.output=none")
    run = make_run(tmp_path, *overrides, attributes=COUNTS)
    [galaxy] = objects(run, 1)
    loaded_run = galgen.load(run)
    latent = loaded_run.draw_latents(1, {}, "normal")
    expected = 0.5 * np.sinh(loaded_run.model.decode(latent)[0, 0].double().numpy())
    np.testing.assert_allclose(galaxy.image.array, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("start", [1, DECODE_BLOCK - 1, DECODE_BLOCK, 20])
@pytest.mark.parametrize("redshift", [REDSHIFT, "0.1:2", [0.1, 0.5, 0.9]])
def test_a_later_start_is_a_slice(peak_run, start, redshift):
    whole = list(objects(peak_run, start + 18, redshift, seed=3))
    part = list(objects(peak_run, 18, redshift, seed=3, start=start))
    assert len(part) == 18
    for one, two in zip(whole[start:], part, strict=True):
        np.testing.assert_array_equal(one.image.array, two.image.array)
        assert one.redshift == two.redshift


def test_the_survey_gives_its_redshifts(command, small, survey):
    assert command("train", *small, "model=cvae2")[0] == 0
    run = TrainedRun(only_run())
    galaxies = list(objects(only_run(), 20, "survey", seed=2))
    known = training_redshifts(run)
    assert len({galaxy.redshift for galaxy in galaxies}) > 10
    for number, galaxy in enumerate(galaxies):
        assert np.abs(known - galaxy.redshift).min() < 1e-6
        again = stamps(only_run(), 1, galaxy.redshift, seed=2, start=number)
        np.testing.assert_allclose(galaxy.image.array, again[0], atol=1e-6)


def test_no_galaxies_are_no_trouble(peak_run):
    assert list(objects(peak_run, 0, REDSHIFT)) == []


def test_the_configuration_draws_the_same_galaxies(peak_run):
    images = drawn(field(peak_run, redshift=REDSHIFT, scale_flux=1))
    np.testing.assert_allclose(images, stamps(peak_run, 4, REDSHIFT), atol=1e-6)


def test_the_configuration_has_its_own_numbers_seed_and_redshifts(peak_run):
    redshift = [0.2, 0.9, 0.4, 1.7]
    index = {"type": "Sequence", "first": 30, "step": -3}
    images = drawn(field(peak_run, redshift=redshift, index=index, seed=4, scale_flux=2))
    for place, (number, z) in enumerate(zip([30, 27, 24, 21], redshift, strict=True)):
        [stamp] = stamps(peak_run, 1, z, seed=4, start=number)
        np.testing.assert_allclose(images[place], 2 * stamp, atol=2e-6)


def test_a_random_index_needs_no_bounds(peak_run):
    config = field(peak_run, redshift=REDSHIFT, index={"type": "Random"}, scale_flux=1)
    images = drawn(config)
    assert np.abs(np.diff(images, axis=0)).max(axis=(1, 2)).min() > 1e-3


def test_galsims_own_keys_apply(peak_run):
    galaxy = build(peak_run, redshift=REDSHIFT, index=3, flux=12.5, rotate="90 deg")
    turned = redrawn(galaxy, SCALE)
    assert turned.sum() == pytest.approx(12.5, rel=0.01)
    expected = np.rot90(stamps(peak_run, 1, REDSHIFT, start=3)[0], -1)
    np.testing.assert_allclose(turned / turned.sum(), expected / expected.sum(), atol=1e-5)


def test_galsims_parameters_reach_the_galaxy(peak_run):
    galaxy = build(peak_run, redshift=REDSHIFT, scale_flux=1, gsparams={"folding_threshold": 0.02})
    assert galaxy.gsparams.folding_threshold == 0.02


def test_a_run_with_a_unit_needs_no_flux(counts_run):
    galaxy = build(counts_run, index=2)
    assert galaxy.flux == pytest.approx(stamps(counts_run, 1, start=2).sum(), rel=1e-6)


@pytest.mark.filterwarnings("ignore:gal.redshift has been deprecated")
def test_galaxies_with_a_spectrum_keep_their_redshift(peak_run):
    config = field(peak_run, redshift=[0.2, 0.9], scale_flux=1)
    config["gal"]["sed"] = {"file_name": "vega.txt", "wave_type": "nm", "flux_type": "flambda"}
    config["index_key"] = "obj_num"
    for config["obj_num"], redshift in enumerate([0.2, 0.9]):  # GalSim moves it after the first
        galaxy, _ = galsim.config.BuildGSObject(config, "gal")
        assert galaxy.redshift == pytest.approx(redshift)
        [expected] = stamps(peak_run, 1, redshift, start=config["obj_num"])
        np.testing.assert_allclose(galaxy.original.original.image.array, expected, atol=1e-6)


def test_processes_draw_what_one_process_draws(peak_run):
    torch.ones(500, 500) @ torch.ones(500, 500)  # so that this process has threads before it forks
    one = drawn(field(peak_run, redshift={"type": "Random", "min": 0.1, "max": 2}, flux=1))
    config = field(peak_run, redshift={"type": "Random", "min": 0.1, "max": 2}, flux=1)
    config["image"]["nproc"] = 2
    config["image"]["timeout"] = 60
    np.testing.assert_array_equal(drawn(config), one)


def test_a_run_is_loaded_once_and_torch_keeps_its_threads(peak_run):
    loaded.cache_clear()
    threads = torch.get_num_threads()
    drawn(field(peak_run, redshift=REDSHIFT, flux=1))
    assert loaded.cache_info().misses == 1
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"redshift": None}, "needs a redshift"),
        ({"redshift": -0.5}, "It takes 0 to 9"),
        ({"redshift": "far"}, "give a number"),
        ({"n": -1}, "start at 0"),
        ({"start": -1}, "start at 0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_arguments_are_refused_at_once(peak_run, arguments, said):
    with pytest.raises((GalgenError, ValueError), match=said):
        objects(peak_run, **{"n": 1, "redshift": REDSHIFT, **arguments})


def test_runs_that_galsim_cannot_use_are_refused(peak_run, counts_run, tmp_path):
    with pytest.raises(GalgenError, match="nowhere"):
        objects("nowhere", 1)
    with pytest.raises(GalgenError, match="does not use redshift"):
        objects(counts_run, 1, REDSHIFT)
    with pytest.raises(GalgenError, match="stamp file"):
        objects(peak_run, 1, "survey")
    with pytest.raises(GalgenError, match="pixel scale of its survey is not known"):
        objects(make_run(tmp_path, "model=vae", "data=mosaic"), 1)


@pytest.mark.parametrize("light", [0.0, float("nan")])
def test_a_galaxy_without_light_is_named(counts_run, monkeypatch, light):
    monkeypatch.setattr(TrainedRun, "physical", lambda self, images: images.numpy() * light)
    with pytest.raises(GalgenError, match="galaxy 7 of seed 1 has no light"):
        next(objects(counts_run, 2, seed=1, start=7))
    with pytest.raises(galsim.GalSimConfigError, match="galaxy 7 of seed 0 has no light"):
        build(counts_run, index=7, flux=3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run": "nowhere"}, "nowhere"),
        ({"redshift": None}, "needs the key redshift"),
        ({"redshift": -1}, "It takes 0 to 9"),
        ({"index": -1}, "start at 0"),
        ({"seed": -1}, "seed=-1"),
        ({"flux": None}, "peak 1, which have no flux of their own. Give one of flux"),
        ({"resshift": 1}, "Unexpected attribute resshift"),
    ],
)
def test_bad_configurations_are_refused(peak_run, changes, said):
    config = field(peak_run, redshift=REDSHIFT, flux=1)
    config["gal"].update(changes)
    config["gal"] = {key: value for key, value in config["gal"].items() if value is not None}
    with pytest.raises(galsim.GalSimConfigError, match=said):
        galsim.config.BuildGSObject(config, "gal")


def test_a_configuration_needs_a_run_and_no_redshift_too_many(peak_run, counts_run):
    with pytest.raises(galsim.GalSimConfigError, match="Attribute run is required"):
        galsim.config.BuildGSObject({"gal": {"type": "GalgenGalaxy"}}, "gal")
    with pytest.raises(galsim.GalSimConfigError, match="does not use redshift"):
        build(counts_run, redshift=REDSHIFT)


def test_the_field_of_the_study_has_galaxies_of_20_to_25_magnitudes(peak_run):
    study = Path(__file__).parents[2] / "experiments" / "lsst_field" / "field.yaml"
    [config] = galsim.config.ReadConfig(str(study))
    config["gal"]["run"] = str(peak_run)
    del config["gal"]["magnitude"]  # which no prior of this run knows
    config["image"] |= {"size": 200, "nobjects": 5, "image_pos": {"type": "XY", "x": 100, "y": 100}}
    del config["image"]["noise"]
    galsim.config.ImportModules(config)
    flux = galsim.config.BuildImage(config).array.sum() / 5
    assert 25.2 > 27 - 2.5 * np.log10(flux) > 20
