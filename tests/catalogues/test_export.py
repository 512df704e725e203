"""Exported networks compute what the model computes, or are not left behind."""

import copy
import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import safetensors
import torch
from safetensors.torch import load_file

import galgen
from galgen.catalogues import exported_networks as interchange
from galgen.config.targets import instantiate
from galgen.import_weights import write_run
from galgen.runs.directory import Run

SIZES = {
    "vae": 32,
    "residual_cvae": 32,
    "galaxy_vae": 32,
    "cvae": 32,
    "cvae2": 32,
    "fancy_cvae": 32,
    "vae128": 128,
    "vae158": 158,
}

EXTENSIONS = {"onnx": "onnx", "safetensors": "safetensors", "torchscript": "pt"}
SMALL = ("vae", "cvae", "cvae2", "fancy_cvae")
TRIED = {
    "onnx": ("vae", "residual_cvae", "fancy_cvae"),  # several seconds each
    "safetensors": (*SMALL, "residual_cvae", "vae128"),
    "torchscript": (*SMALL, "galaxy_vae", "vae158"),
}
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")
ATTRIBUTES = {"unit": "counts/s", "pixel_scale": 0.05, "zero_point": [25.94]}


@pytest.fixture
def run_of(composed):
    """Return a function that writes the finished run of an untrained model."""

    def write(name: str) -> Path:
        overrides = [f"model={name}", f"data.image_size={SIZES[name]}", "model.width=4"]
        overrides += [f"model.latent_dim={80 if name == 'galaxy_vae' else 3}", "transform=asinh"]
        config = composed(*overrides, "run_name=mine")
        torch.manual_seed(1)
        model = instantiate(config.model)
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
        run = Run(config)
        source = {"file": "none", "attributes": ATTRIBUTES}
        write_run(config, run, model.state_dict(), source)
        return run.directory

    return write


def exported(kind: str, network: str, inputs: dict) -> tuple:
    """What an exported network makes of named inputs, read without the help of galgen.export."""
    path = f"out/{network}.{EXTENSIONS[kind]}"
    if kind == "onnx":
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return tuple(map(torch.tensor, onnxruntime.InferenceSession(path).run(None, arrays)))
    if kind == "torchscript":
        outputs = torch.jit.load(path)(**inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)
    model = galgen.load("runs/mine").model
    for weights in model.parameters():
        weights.fill_(torch.nan)
    model.load_state_dict(load_file(path), strict=False)
    return computed(model, network, inputs)


def computed(model, network: str, inputs: dict) -> tuple:
    if network == "encoder":
        posterior = model.encode(**inputs)
        return posterior.mean, posterior.stddev
    if model.name == "fancy_cvae":
        return model.predict(**inputs)
    return (model.decode(**inputs),)


def facts_of(kind: str, network: str) -> dict:
    path = f"out/{network}.{EXTENSIONS[kind]}"
    if kind == "onnx":
        return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    if kind == "torchscript":
        extra = {"metadata.json": ""}
        torch.jit.load(path, _extra_files=extra)
        return json.loads(extra["metadata.json"])
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in TRIED.items() for name in names]
)
def test_a_file_computes_what_the_model_computes(command, run_of, kind, name):
    run, size = run_of(name), SIZES[name]
    code, printed = command("export", f"run={run}", f"format={kind}", "out=out")
    assert code == 0, printed
    assert len(printed.splitlines()) == 2, printed
    files = sorted(path.name for path in Path("out").iterdir())
    assert files == [f"decoder.{EXTENSIONS[kind]}", f"encoder.{EXTENSIONS[kind]}"]
    model = galgen.load(run).model
    for n in (1, 7):
        redshift = {"redshift": torch.rand(n)} if model.conditional else {}
        first = {"encoder": {"image": torch.rand(n, 1, size, size)}}
        first["decoder"] = {"latent": torch.randn(n, model.latent_dim)}
        for network, inputs in first.items():
            inputs |= redshift
            wanted = computed(model, network, inputs)
            for found, value in zip(exported(kind, network, inputs), wanted, strict=True):
                torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_a_file_says_where_it_comes_from_and_what_it_takes(command, run_of, kind):
    run = run_of("fancy_cvae")
    assert command("export", f"run={run}", f"format={kind}", "out=out")[0] == 0
    facts = facts_of(kind, "decoder")
    assert facts["network"] == "decoder"
    assert facts["inputs"] == "latent,redshift"
    assert facts["outputs"] == "image,predicted_redshift"
    assert facts_of(kind, "encoder")["inputs"] == "image,redshift"
    assert facts_of(kind, "encoder")["outputs"] == "mean,std"
    assert facts["run"] == "mine"
    assert facts["config_sha256"] == hashlib.sha256((run / "config.yaml").read_bytes()).hexdigest()
    assert facts["model"] == "fancy_cvae"
    assert json.loads(facts["model_config"])["_target_"].endswith(".FancyCVAE")
    assert (facts["image_size"], facts["latent_dim"]) == ("32", "3")
    assert (facts["unit"], facts["pixel_scale"], facts["zero_points"]) == (
        "counts/s",
        "0.05",
        "[25.94]",
    )
    assert json.loads(facts["transform"]) == {"name": "asinh", "scale": 1.0}
    assert (facts["galgen"], facts["torch"]) == (galgen.__version__, torch.__version__)
    if kind == "onnx":
        session = onnxruntime.InferenceSession("out/decoder.onnx")
        shapes = {put.name: put.shape for put in session.get_inputs() + session.get_outputs()}
        assert shapes == {
            "latent": ["batch", 3],
            "redshift": ["batch"],
            "image": ["batch", 1, 32, 32],
            "predicted_redshift": ["batch"],
        }


def test_torchscript_moves_to_another_device(command, run_of):
    assert command("export", f"run={run_of('cvae')}", "format=torchscript", "out=out")[0] == 0
    for network in ("encoder", "decoder"):
        assert "Device" not in str(torch.jit.load(f"out/{network}.pt").inlined_graph)


@pytest.mark.parametrize("kind", ["safetensors", "torchscript"])
def test_a_file_that_computes_something_else_is_not_left(command, run_of, monkeypatch, kind):
    run = run_of("cvae2")
    networks, made = interchange.networks, []

    def corrupted(model):
        if made:  # the first are the originals
            model = copy.deepcopy(model)
            model.decoder.linear1.bias.data += 0.1
        made.append(model)
        return networks(model)

    monkeypatch.setattr(interchange, "networks", corrupted)
    code, printed = command("export", f"run={run}", f"format={kind}")
    assert code == 1
    assert f"decoder.{EXTENSIONS[kind]} is not written: it would differ" in printed
    assert list((run / "export").iterdir()) == []


def test_nan_is_a_difference():
    one, nan = torch.ones(3), torch.tensor([1, torch.nan, 1])
    assert interchange.largest_difference(lambda x: nan, lambda x: one, (one,)) > 1
    assert interchange.largest_difference(lambda x: (one, nan), lambda x: (one, one), (one,)) > 1
    assert interchange.largest_difference(lambda x: 110 * one, lambda x: 100 * one, (one,)) == (
        pytest.approx(0.1)
    )


def test_what_exists_is_replaced_only_when_asked(command, run_of):
    run = run_of("cvae2")
    (run / "export").mkdir()
    decoder = run / "export" / "decoder.safetensors"
    decoder.write_text("precious")
    code, printed = command("export", f"run={run}", "format=safetensors")
    assert code == 1
    assert f"{decoder} exists. Give overwrite=true" in printed
    assert [path.read_text() for path in decoder.parent.iterdir()] == ["precious"]
    assert command("export", f"run={run}", "format=safetensors", "overwrite=true")[0] == 0
    assert "decoder.linear1.weight" in load_file(decoder)


def test_a_full_disk(command, run_of, monkeypatch):
    run = run_of("cvae2")

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, printed = command("export", f"run={run}", "format=torchscript")
    assert code == 1
    assert "the disk is full while writing" in printed
    assert list((run / "export").iterdir()) == []


def test_an_unfinished_run_is_exported_with_a_warning(command, run_of):
    run = run_of("cvae2")
    (run / "DONE").unlink()
    (run / "checkpoints" / "best.ckpt").rename(run / "checkpoints" / "last.ckpt")
    code, printed = command("export", f"run={run}", "format=torchscript")
    assert code == 0
    assert "is not finished" in printed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["format=pickle"], "format=pickle: there are onnx, safetensors, torchscript"),
        (["format=[onnx,safetensors]"], "there are onnx, safetensors, torchscript"),
        (["run=nowhere"], "run=nowhere: there is no such run"),
        (["out=file"], "out=file: this is a file. Give out=<folder>"),
    ],
)
def test_bad_input_is_a_sentence(command, trained, overrides, message):
    Path("file").write_text("precious")
    code, printed = command("export", f"run={trained}", *overrides)
    assert code == 1
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_a_missing_package_is_named(command, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, printed = command("export", f"run={trained}")
    assert code == 1
    assert "format=onnx: this needs onnxscript" in printed
    assert "pip install 'galgen[export]'" in printed


def test_help_needs_neither_torch_nor_onnx():
    code = (
        "import sys; sys.argv = ['export', '--help']\n"
        "from galgen.export import main\n"
        "try:\n    main()\nfinally:\n"
        "    loaded = {'torch', 'onnx', 'onnxruntime', 'safetensors'} & set(sys.modules)\n"
        "    assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "format: onnx" in done.stdout
