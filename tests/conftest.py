"""Small surveys, and commands run inside the test's process."""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from galgen.config.paths import CONF
from tests.compositions import composed_once

# A shell's background job ignores Ctrl-C, and nohup's the closed terminal.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

NO_PICTURES = "callbacks.pictures=null"
"""Most tests are about something else, and pictures take three quarters of a tiny training."""
SHARED = Path(__file__).resolve().parents[2] / "shared"
SIZE = 32


def discs(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Exponential discs of random size, shape and angle, peak 1, (n, size, size)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    images = []
    for _ in range(n):
        angle, radius, ratio = rng.uniform(0, np.pi), rng.uniform(1.5, 4), rng.uniform(0.4, 1)
        along = x * np.cos(angle) + y * np.sin(angle)
        across = (-x * np.sin(angle) + y * np.cos(angle)) / ratio
        image = np.exp(-np.hypot(along, across) / radius)
        images.append(image / image.max())
    return np.array(images, np.float32)


@pytest.fixture(scope="session", autouse=True)
def quick_configs():
    """Have Hydra put the groups of a choice together once."""
    with composed_once():
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder with an empty cache, offline, with the same random numbers."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("HYDRA_FULL_ERROR", "GALGEN_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


def write_discs(path: Path) -> Path:
    """Write a survey of 80 discs of 32 px with redshifts, in the original layout."""
    with h5py.File(path, "w") as file:
        file["images"] = discs(80)
        file["zphot"] = np.linspace(0.1, 3, 80, dtype=np.float32)
    return path


def small_training(survey: Path) -> list[str]:
    """Give the overrides of a training that takes a second."""
    return [
        "data=cosmos",
        "model=cvae2",
        f"data.file={survey}",
        f"data.image_size={SIZE}",
        "data.batch_size=16",
        "model.width=4",
        "model.latent_dim=3",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "callbacks.progress=null",
        NO_PICTURES,
    ]


@pytest.fixture
def survey(tmp_path) -> Path:
    """Write a survey for a test."""
    return write_discs(tmp_path / "survey.h5")


@pytest.fixture
def small(survey) -> list[str]:
    """Give the overrides of a training on it."""
    return small_training(survey)


@pytest.fixture
def pictured(small) -> list[str]:
    """Give the overrides of a training that draws its pictures."""
    return [word for word in small if word != NO_PICTURES]


def run_command(name: str, *arguments: str) -> None:
    """Run a command outside a test, for fixtures that many tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HYDRA_FULL_ERROR", raising=False)  # main sets it, and importing reads it
        patch.setattr(sys, "argv", [f"galgen/{name}.py", *arguments])
        import_module(f"galgen.{name}").main()
        os.environ.pop("HYDRA_FULL_ERROR", None)


def cvae2_unless_chosen(overrides: Sequence[str]) -> list[str]:
    """Choose a small model of a latent vector, where overrides choose none."""
    chosen = any(word.startswith(("model=", "experiment=")) for word in overrides)
    return [] if chosen else ["model=cvae2"]


def train_once(folder: Path, *overrides: str) -> Path:
    """Train a tiny run in a folder; return its directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = ["run_name=tiny", "model.width=4", "model.latent_dim=3", "callbacks=[default]"]
        arguments += cvae2_unless_chosen(overrides)
        arguments += ["data.batch_size=16", f"data.image_size={SIZE}", "trainer.max_epochs=2"]
        arguments += ["trainer.accelerator=cpu", "callbacks.progress=null", NO_PICTURES, *overrides]
        run_command("train", *arguments)
    return folder / "runs" / "tiny"


def untrained_run(folder: Path, *overrides: str) -> Path:
    """Write a finished run of a model with random weights, without a survey."""
    import torch

    from galgen.config.targets import instantiate
    from galgen.models.checkpoints import write_checkpoint
    from galgen.runs.directory import Run

    words = ["run_name=untrained", f"run_root={folder}", f"data.image_size={SIZE}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words += ["model.width=4", "model.latent_dim=3", *cvae2_unless_chosen(overrides)]
        config = compose("train", [*words, *overrides])
    run = Run(config)
    torch.manual_seed(0)
    state = instantiate(config.model).state_dict()
    write_checkpoint({"state_dict": state}, run.directory / "checkpoints" / "best.ckpt")
    transform = {"name": config.transform._target_.rsplit(".", 1)[1].lower()}
    transform |= {"scale": 1.0} if "scale" in config.transform else {}
    run.remember({"survey": "simulated", "file": "none.h5", "transform": transform})
    run.finish({})
    return run.directory


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Train a fancy_cvae on 80 discs of peak 1, redshifts 0.1 to 3; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("trained")
    data = ["data=cosmos", f"data.file={write_discs(folder / 'survey.h5')}"]
    return train_once(folder, *data, "model=fancy_cvae")


@pytest.fixture(scope="session")
def physical(tmp_path_factory) -> Path:
    """Train a vae in counts/s, 0.05 arcsec a pixel; tests leave it as it is."""
    from galgen.data.stamp_writing import write_stamps

    folder = tmp_path_factory.mktemp("physical")
    block = {"image": discs(80) * np.linspace(0.5, 2, 80, dtype="f4")[:, None, None]}
    attrs = {"survey": "mine", "bands": ["F160W"], "unit": "counts/s"}
    attrs |= {"pixel_scale": 0.05, "zero_point": [25.5]}
    write_stamps(folder / "survey.h5", [block], attrs)
    data = ["data=mosaic", f"data.file={folder / 'survey.h5'}", "transform=asinh"]
    data += ["transform.scale=0.5", "model=vae", "model.output=softplus"]
    return train_once(folder, *data)


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Draw a complete release from the fits of GalSim's example, stamps of 81 to 174 px."""
    folder = tmp_path_factory.mktemp("release")
    import galsim

    from galgen.data.surveys.cosmos_noise import cosmos_noise

    for path in (SHARED / "data" / "galsim_example_23.5").glob("*.fits"):
        shutil.copy(path, folder)
    catalogue = str(folder / "real_galaxy_catalog_23.5_example.fits")
    fitted = galsim.COSMOSCatalog(catalogue, use_real=False, exclusion_level="none")
    real = galsim.RealGalaxyCatalog(catalogue)
    images = []
    for row in range(len(real)):
        galaxy = galsim.Convolve(fitted.makeGalaxy(row, gal_type="parametric"), real.getPSF(row))
        side = 81 + 10 * (row % 10)
        image = galaxy.drawImage(nx=side, ny=side + 3, scale=0.03, method="no_pixel")
        image.addNoise(cosmos_noise(galsim.BaseDeviate(row + 1), real.variance[row]))
        images.append(image)
    galsim.fits.writeMulti(images, str(folder / "real_galaxy_images.fits"))
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs a command and gives its exit code and what it printed."""

    def run(name: str, *overrides: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [f"galgen/{name}.py", *overrides])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        code = 0
        try:
            import_module(f"galgen.{name}").main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            if isinstance(stop.code, str):
                print(stop.code)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


@pytest.fixture
def composed():
    """Return a function that composes a config from overrides; of cvae2 where they choose none."""

    def make(*overrides: str, name: str = "train"):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            model = cvae2_unless_chosen(overrides) if name == "train" else []
            return compose(name, [*model, *overrides])

    return make


@pytest.fixture
def forked_jobs(monkeypatch) -> None:
    """Fork the jobs of the sweeps that start in this process, rather than start Python anew."""
    from galgen.sweeps import jobs
    from tests.processes import Job

    monkeypatch.setattr(jobs, "subprocess", SimpleNamespace(Popen=Job, DEVNULL=0, STDOUT=0))


def only_run(root: Path = Path("runs")) -> Path:
    """Return the one run directory below a root."""
    runs = [path for path in root.iterdir() if path.is_dir()]
    assert len(runs) == 1, runs
    return runs[0]


def trained_weights(run: Path) -> dict:
    """Return the last weights of a run."""
    import galgen

    return galgen.load(run, "last").model.state_dict()


def assert_same_training(one: Path, two: Path) -> None:
    """Check that two runs have the same metrics and weights."""
    import torch

    from galgen.runs.metrics import read_metrics

    first, second = read_metrics(one), read_metrics(two)
    assert len(first) == len(second) > 0
    for left, right in zip(first, second, strict=True):
        assert left.keys() == right.keys()
        for name in left.keys() - {"images_per_second"}:
            assert left[name] == pytest.approx(right[name], rel=1e-5, abs=1e-7), name
    weights = trained_weights(two)
    for name, tensor in trained_weights(one).items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-6)


@pytest.fixture
def pulling_the_plug(monkeypatch):
    """Return a context in which a training fails at a step."""

    @contextmanager
    def at(step: int):
        from galgen.training.model_training import ModelTraining

        training_step = ModelTraining.training_step

        def failing_step(self, batch, batch_idx):
            if self.global_step == step:
                raise RuntimeError("pulled the plug")
            return training_step(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(ModelTraining, "training_step", failing_step)
            yield

    return at


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """Train a residual_cvae on 400 simulated galaxies of 32 px; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("simulated")
    data = ["data=simulated", "data.galaxies=400", "data.structure=false", "data.image_size=32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GALGEN_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        run_command("prepare", *data, "prepare.noiseless=true")
        file = next((folder / "cache").glob("*.h5"))
        data += [f"data.file={file}", "data.split=[0.4,0.1,0.5]", "experiment=noise_aware"]
        return train_once(folder, *data)


SCALE = 0.05
SIGMA = 0.02


def gaussian(sigma, side=21):
    y, x = np.mgrid[:side, :side] - side // 2
    psf = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    return (psf / psf.sum()).astype("f4")


PSFS = np.stack([gaussian(1.0), gaussian(2.0)])[:, None]


@pytest.fixture(scope="session")
def survey_with_psfs(tmp_path_factory) -> Path:
    """Write 80 discs of 32 px with two PSFs, their noise and redshifts."""
    from galgen.data.stamp_writing import write_stamps
    from galgen.data.surveys.cosmos_noise import noise_correlation

    path, n = tmp_path_factory.mktemp("survey_with_psfs") / "survey.h5", 80
    block = {"image": discs(n) * np.linspace(0.5, 2, n, dtype="f4")[:, None, None]}
    block |= {"noise_variance": np.full(n, SIGMA**2), "psf_index": np.arange(n) % 2}
    block |= {"redshift": np.linspace(0.1, 2, n)}
    attrs = {"survey": "mine", "unit": "counts/s", "pixel_scale": SCALE, "zero_point": [25.5]}
    attrs["noise_correlation"] = noise_correlation()[None]
    write_stamps(path, [block], attrs)
    with h5py.File(path, "a") as file:
        file["psf"] = PSFS
    return path


@pytest.fixture(scope="session")
def free(tmp_path_factory, survey_with_psfs) -> Path:
    """Train a model of light in front of the telescope; tests leave it as it is."""
    data = ["data=mosaic", f"data.file={survey_with_psfs}", "model=galaxy_vae"]
    return train_once(tmp_path_factory.mktemp("free"), *data, "model.latent_dim=80")


CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("there is no Chromium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()
