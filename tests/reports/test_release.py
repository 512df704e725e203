"""Released models: what they hold, what they refuse, and how they come from a host."""

import functools
import http.server
import json
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table

import galgen
from galgen.catalogues.observed import Telescope
from galgen.config import releases
from galgen.errors import GalgenError
from galgen.files import sha256
from tests.conftest import run_command


@pytest.fixture(scope="module")
def original(tmp_path_factory, free) -> Path:
    """Copy a run, and fit a prior to it."""
    run = shutil.copytree(free, tmp_path_factory.mktemp("original") / "tiny")
    prior = ["prior=flow_matching_small", "prior.flow_matching.width=16"]
    prior += ["prior.flow_matching.depth=1", "prior.flow_matching.max_epochs=2"]
    run_command("fit_prior", f"run={run}", *prior)
    return run


@pytest.fixture(scope="module")
def released(original, tmp_path_factory) -> Path:
    """Release it."""
    folder = tmp_path_factory.mktemp("releases") / "discs"
    run_command("release", f"run={original}", "name=discs", f"out={folder}")
    return folder


@pytest.fixture
def copy(released, tmp_path) -> Path:
    return shutil.copytree(released, tmp_path / "discs")


@pytest.fixture
def host(released, tmp_path):
    """Serve a folder with a copy of the released model; return the folder and its URL."""
    folder = tmp_path / "host"
    shutil.copytree(released, folder / "discs")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", self.path.replace("moved", "discs"))
                self.end_headers()
            else:
                super().do_GET()

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def pin(folder: Path) -> str:
    return f"#sha256={sha256(folder / releases.RECORD)}"


def test_a_released_model_generates_the_galaxies_of_its_run(original, released):
    run, model = galgen.load(original), galgen.load(released)
    assert model.name == "discs"
    assert list(model.priors) == list(run.priors) == ["normal", "flow_matching"]
    for prior in run.priors:
        one, other = (each.sample(5, prior=prior, seed=3) for each in (run, model))
        np.testing.assert_array_equal(one, other)
    one, other = (each.sample(4, redshift=0.7, prior="flow_matching") for each in (run, model))
    np.testing.assert_array_equal(one, other)
    assert model.priors.costs == run.priors.costs
    assert model.unit == "counts/s"
    assert model.pixel_scale == 0.05


def test_a_released_model_has_psfs_and_noise_without_the_survey(original, released):
    run, model = galgen.load(original), galgen.load(released)
    kept, whole = model.exposures, run.exposures
    assert len(kept) == len(whole) == 64
    np.testing.assert_array_equal(kept.psfs(np.arange(64)), whole.psfs(np.arange(64)))
    light = run.sample(6, prior="normal")
    one, other = (Telescope(each, "survey", "survey").observe(light, 1, 0) for each in (run, model))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(GalgenError, match="no such stamp file"):
        _ = model.survey


def test_a_released_model_names_no_machine_and_no_path(released, original):
    for path in released.rglob("*"):
        if path.suffix in (".json", ".yaml", ".md") or path.name == "DONE":
            text = path.read_text()
            assert str(original.parent) not in text, path
            assert "/tmp/" not in text, path
            assert f'"{platform.node()}"' not in text, path
    assert not list(released.rglob("*.ckpt"))


def test_a_copy_of_a_released_model_takes_other_priors(copy, survey_with_psfs):
    prior = ["prior=flow_matching_small", "prior.flow_matching.width=16"]
    prior += ["prior.flow_matching.depth=1", "prior.flow_matching.max_epochs=1"]
    before = galgen.load(copy).sample(2, prior="flow_matching")
    (copy / "release.json").unlink()
    run_command("fit_prior", f"run={copy}", f"data.file={survey_with_psfs}", *prior, "seed=7")
    assert not (copy / "priors" / "flow_matching.safetensors").exists()
    assert not np.array_equal(galgen.load(copy).sample(2, prior="flow_matching"), before)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda run: (run / "checkpoints/best.safetensors").unlink(),
            "best.safetensors: it is mis",
        ),
        (
            lambda run: flip(run / "checkpoints/best.safetensors"),
            "it was changed after the release",
        ),
        (lambda run: flip(run / "exposures.h5"), "exposures.h5: it was changed after the release"),
        (lambda run: flip(run / "data.json"), "data.json: it was changed after the release"),
        (lambda run: record(run, format=2), "format 2, and this galgen reads 1 at most. Upgrade"),
        (lambda run: record(run, format="new"), "release.json is damaged"),
        (lambda run: record(run, files={"../../x.json": "0" * 64}), "'../../x.json', no file of"),
        (lambda run: record(run, files={"run.py": "0" * 64}), "'run.py', no file of a model"),
    ],
)
def test_what_was_changed_after_the_release_is_refused(copy, damage, says):
    damage(copy)
    with pytest.raises(GalgenError) as error:
        galgen.load(copy)
    assert says in str(error.value)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def record(run: Path, **changes) -> None:
    path = run / releases.RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damaged_safetensors_are_a_sentence(copy):
    (copy / releases.RECORD).unlink()
    path = copy / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(GalgenError, match="damaged or truncated"):
        galgen.load(copy)


def test_a_released_model_comes_from_a_host_once(host, released, monkeypatch):
    folder, url = host
    model = galgen.load(f"{url}/discs{pin(folder / 'discs')}")
    np.testing.assert_array_equal(model.sample(2), galgen.load(released).sample(2))
    assert releases.is_read_only(model.directory)
    assert model.directory.name == "discs"
    shutil.rmtree(folder / "discs")
    again = galgen.load(f"{url}/discs/release.json{pin(model.directory)}")
    assert again.directory == model.directory


def test_a_command_takes_a_url(command, host):
    folder, url = host
    words = [f"run={url}/discs{pin(folder / 'discs')}", "n=2", "out=of_a_host.h5"]
    code, printed = command("generate", *words)
    assert code == 0, printed
    assert Path("of_a_host.h5").is_file()


@pytest.mark.parametrize(
    ("address", "fragment", "says"),
    [
        ("discs", "", "over http, anybody on the way may change the model"),
        ("discs", "#sha256=" + "0" * 64, "has the SHA-256"),
        ("discs", "#md5=0", "after # there can be sha256="),
        ("nothing", "#sha256=" + "0" * 64, "answers 404"),
        ("moved", "#sha256=" + "0" * 64, "answers 302"),
    ],
)
def test_a_host_that_is_not_what_the_user_named_is_refused(host, address, fragment, says):
    with pytest.raises(GalgenError) as error:
        galgen.load(f"{host[1]}/{address}{fragment}")
    assert says in str(error.value)


def test_a_file_that_its_host_changed_is_refused(host):
    folder, url = host
    flip(folder / "discs" / "conditions.safetensors")
    with pytest.raises(GalgenError, match=r"conditions.safetensors is another than release.json"):
        galgen.load(f"{url}/discs{pin(folder / 'discs')}")
    assert not list((releases._downloads()).glob("*/discs"))


def test_a_host_that_is_not_there_is_a_sentence():
    with pytest.raises(GalgenError, match=r"cannot be reached .*See that you are online"):
        galgen.load("http://127.0.0.1:1/discs#sha256=" + "0" * 64)


def test_release_refuses_what_cannot_be_released(command, original, released, tmp_path):
    said = command("release", f"run={original}", "name=My_Model")
    assert said == (1, "galgen: name=My_Model: use small letters, digits, hyphens and dots.\n")
    code, printed = command("release", f"run={original}", f"out={released}")
    assert code == 1
    assert f"{released} exists. Give overwrite=true" in printed
    mine = tmp_path / "mine"
    mine.mkdir()
    code, printed = command("release", f"run={original}", f"out={mine}", "overwrite=true")
    assert (code, mine.is_dir()) == (1, True)
    assert "this is no released model, so it is not replaced" in printed
    unfinished = shutil.copytree(original, tmp_path / "unfinished")
    (unfinished / "DONE").unlink()
    code, printed = command("release", f"run={unfinished}")
    assert code == 1
    assert "its training is not finished" in printed
    assert not Path("releases").exists()


def test_generating_imports_no_lightning():
    script = (
        "import sys, galgen\n"
        "galgen.load('hst-f814w-simulated').sample(1, redshift=0.7)\n"
        "print([m for m in ('pytorch_lightning', 'torch._dynamo', 'wandb') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", releases.names())
def test_a_model_that_comes_with_galgen_works_from_its_name(command, name):
    run = galgen.load(name)
    images = run.sample(4, redshift=0.7, magnitude=22.5, seed=1)
    assert np.isfinite(images).all()
    flux = images[:, run.reference].sum(axis=(1, 2))
    magnitude = run.zero_points[run.reference] - 2.5 * np.log10(flux)
    np.testing.assert_allclose(magnitude, 22.5, atol=1)
    assert "simulated" in (run.directory / "README.md").read_text()
    code, printed = command("plot", f"run={name}", "figure=samples", "n=4", "redshift=0.7")
    assert code == 0, printed
    assert len(list(Path("runs", name, "figures").glob("*.png"))) == 1
    assert not (run.directory / "figures").exists()
    code, printed = command("fit_prior", f"run={name}", "prior=flow")
    assert code == 1
    assert "a released model is kept as it is" in printed


@pytest.mark.parametrize("name", releases.names())
def test_a_model_that_comes_with_galgen_tells_redshifts(command, name):
    """Of its own galaxies, it finds the magnitudes that were asked for."""
    words = ["n=60", "magnitude=21:24.5", "psf=survey", "noise=survey", "out=seen.h5"]
    code, printed = command("generate", f"run={name}", *words)
    assert code == 0, printed
    code, printed = command("redshift", f"run={name}", "images=seen.h5", "out=z.fits")
    assert code == 0, printed
    table = Table.read("z.fits")
    with h5py.File("seen.h5") as file:
        asked = file["requested_magnitude"][:]
    error = table["magnitude_p50"] - asked
    assert abs(np.median(error)) < 0.3
    assert np.corrcoef(table["magnitude_p50"], asked)[0, 1] > 0.9
    assert np.isfinite(table["redshift_mean"]).all()


def test_an_unknown_name_lists_the_released_models(command):
    with pytest.raises(GalgenError, match="Released models: hst-f814w-simulated"):
        galgen.load("hst-f606w")
