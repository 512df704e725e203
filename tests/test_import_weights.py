"""Original weight files become runs, and nothing in them is executed."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import galgen
from galgen.config.targets import instantiate
from galgen.import_weights import read_original
from tests.conftest import only_run

SETTINGS = {"batch size": 64, "epochs": 100, "beta": 0.1, "learning rate": 1e-3, "z_dim": 7}
MODELS = {"vae128": 128, "vae158": 158, "cvae": 158, "cvae2": 158, "fancy_cvae": 158}


def weights_of(composed, name: str) -> dict:
    overrides = [f"model={name}", f"data.image_size={MODELS[name]}", "model.width=4"]
    torch.manual_seed(1)
    return instantiate(composed(*overrides, "model.latent_dim=7").model).state_dict()


def save(path: Path, content, how: str) -> Path:
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    return path


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("name", MODELS)
def test_weights_become_a_run_that_loads(command, composed, tmp_path, name, how):
    state = weights_of(composed, name)
    file = save(tmp_path / "weights.pt", [state, SETTINGS], how)
    data = ["data=deepfield"] if name == "vae128" else []
    code, printed = command("import_weights", f"file={file}", f"model={name}", *data)
    assert code == 0, printed
    assert only_run().name.startswith(f"imported-{name}-z7-")
    model = galgen.load(only_run()).model
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    stored = json.loads((only_run() / "data.json").read_text())
    assert stored["settings"] == SETTINGS
    assert stored["transform"] == {"name": "peak"}
    assert command("import_weights", f"file={file}", f"model={name}", *data)[0] == 0


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_a_table_of_beta_is_read_from_a_tensor_or_a_list(composed, tmp_path, how):
    state = weights_of(composed, "cvae2")
    for beta in ([0.0, 0.05, 0.1], torch.tensor([0.0, 0.05, 0.1])):
        file = save(tmp_path / "weights.pt", [state, {**SETTINGS, "beta": beta}], how)
        found, plain = read_original(file)
        assert plain["beta"] == pytest.approx([0, 0.05, 0.1])
        assert found.keys() == state.keys()


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_numpy_is_refused_because_its_state_can_forge_pointers(composed, tmp_path, how):
    settings = {**SETTINGS, "beta": np.linspace(0, 0.1, 5)}
    file = save(tmp_path / "weights.pt", [weights_of(composed, "cvae2"), settings], how)
    with pytest.raises(galgen.errors.GalgenError, match=r"refused.*numpy"):
        read_original(file)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("where", ["state", "settings", "all"])
def test_a_malicious_file_is_refused_and_not_executed(command, composed, tmp_path, how, where):
    evil = Malicious(str(tmp_path / "executed"))
    state = weights_of(composed, "cvae2")
    content = {
        "state": [{**state, "encoder.linear1.bias": evil}, SETTINGS],
        "settings": [state, {**SETTINGS, "beta": evil}],
        "all": evil,
    }[where]
    file = save(tmp_path / "weights.pt", content, how)
    code, printed = command("import_weights", f"file={file}", "model=cvae2")
    assert code == 1
    assert "refused" in printed
    assert not (tmp_path / "executed").exists()
    assert not Path("runs").exists()


@pytest.mark.parametrize("inner", ["zip", "legacy"])
def test_a_malicious_storage_inside_a_pickle_is_not_executed(tmp_path, inner):
    evil = save(tmp_path / "inner", Malicious(str(tmp_path / "executed")), inner).read_bytes()

    class Nested:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (evil,)

    file = save(tmp_path / "weights.pt", [{"a": Nested()}, {}], "pickle")
    with pytest.raises(galgen.errors.GalgenError, match="refused"):
        read_original(file)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a weight file"),
        (b"PK\x03\x04 cut", "not a weight file"),
        (b"plain text", "refused"),
        (pickle.dumps([1, 2, 3]), "is a list"),
        (pickle.dumps([{}, {}]), "more than tensors"),
        (pickle.dumps([{"a": 1}, {}]), "more than tensors"),
        (pickle.dumps([{"a": torch.ones(1)}, {}]), "do not belong to a model of galgen"),
    ],
)
def test_files_that_are_no_weights_are_refused(command, tmp_path, content, message):
    (tmp_path / "weights.pt").write_bytes(content)
    code, printed = command("import_weights", "file=weights.pt")
    assert code == 1
    assert message in printed
    assert not Path("runs").exists()


def test_weights_of_another_model_are_refused(command, composed, tmp_path):
    file = save(tmp_path / "weights.pt", [weights_of(composed, "cvae2"), SETTINGS], "zip")
    code, printed = command("import_weights", f"file={file}", "model=cvae")
    assert code == 1
    assert "another model's" in printed
    code, printed = command("import_weights", f"file={file}", "model=vae128")
    assert code == 1
    assert "another model's" in printed
    code, printed = command("import_weights", f"file={file}", "model=vae128", "data=cosmos")
    assert code == 1
    assert "data=deepfield" in printed
    code, printed = command("import_weights", "file=nowhere.pt")
    assert code == 1
    assert "no such file" in printed
    assert not Path("runs").exists()
