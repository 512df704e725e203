"""What makes trainings fast does not change them; and what the benchmark measures is galgen's."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from experiments.throughput.measure import MODELS, flop_of_training
from galgen.config.paths import CONF
from galgen.config.rules import check_rules
from galgen.config.targets import instantiate
from galgen.data.batch import Batch
from galgen.models.vae import VAE
from galgen.training.model_training import ModelTraining
from tests.conftest import only_run, trained_weights

CHECKOUT = Path(__file__).parents[1]
BARE = """
import importlib.abc, sys
MISSING = {"hydra", "omegaconf", "wandb", "galsim", "zuko", "astropy", "photutils", "numba", "rich"}
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        frame = sys._getframe(1)
        while "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if name.split(".")[0] in MISSING and frame.f_globals["__name__"].startswith(
            ("galgen", "experiments")
        ):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import experiments.throughput.measure
try:
    import galgen.figures.display
except ModuleNotFoundError:
    print("what is missing is missed")
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for a CPU with g++")
def test_a_compiled_training_is_the_same_training(command, small):
    arguments = [*small, "model.norm=group", "trainer.max_epochs=1"]
    code, printed = command("train", *arguments, "callbacks=[default,accelerate]")
    assert code == 0, printed
    command("train", *arguments, "run_root=plain")
    compiled, plain = trained_weights(only_run()), trained_weights(only_run(Path("plain")))
    assert compiled.keys() == plain.keys()
    for name, weights in plain.items():
        if not name.endswith("bias"):  # some have no gradient but rounding
            torch.testing.assert_close(compiled[name], weights, rtol=1e-3, atol=1e-4)


def test_gradients_are_clipped_to_a_norm_or_a_value():
    model = VAE(image_size=32, width=4)
    training = ModelTraining(model)
    training.trainer = trainer = Trainer(accelerator="cpu", logger=False, precision="bf16-mixed")
    for algorithm, expected in (("norm", 0.5), ("value", 0.5), (None, 0.5)):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        training.configure_gradient_clipping(optimizer, 0.5, algorithm)
        gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        found = gradients.max() if algorithm == "value" else gradients.norm()
        assert found == pytest.approx(expected, rel=1e-3)
    assert trainer.precision == "bf16-mixed"


def test_a_fused_optimizer_clips_in_bfloat16(command, small):
    options = [
        "trainer.max_epochs=1",
        "trainer.gradient_clip_val=1",
        "trainer.precision=bf16-mixed",
    ]
    code, printed = command("train", *small, *options)
    assert code == 0, printed


def test_a_profile_lies_in_the_run_directory(command, small):
    arguments = [*small, "trainer.max_epochs=1", "data.batch_size=8"]  # it looks at steps 3 to 5
    code, printed = command("train", *arguments, "trainer.profiler=pytorch")
    assert code == 0, printed
    assert "aten::" in (only_run() / "fit-profile.txt").read_text()
    assert list(only_run().glob("*training_step*.pt.trace.json"))


@pytest.mark.parametrize("trainer", ["gpu", "ddp", "multi_node"])
def test_trainers_of_gpus_are_fast_unless_told_otherwise(composed, trainer):
    config = composed(f"trainer={trainer}")
    assert config.trainer.precision == "bf16-mixed"
    assert config.data.cache == "device"
    assert bool(config.callbacks.accelerate) == (trainer == "gpu")
    plain = composed(f"trainer={trainer}", "data.cache=ram", "trainer.precision=32-true",
                     "callbacks.accelerate=null")  # fmt: skip
    assert (plain.data.cache, plain.trainer.precision) == ("ram", "32-true")
    assert plain.callbacks.accelerate is None
    check_rules(config)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_trainer_says_so(command, small):
    arguments = [argument for argument in small if "accelerator" not in argument]
    code, printed = command("train", *arguments, "trainer=gpu")
    assert code == 1
    assert "torch finds no GPU here. Choose trainer=default" in printed
    assert not Path("runs").exists()


def test_losses_and_light_are_float32_under_autocast():
    torch.manual_seed(0)
    model = VAE(
        image_size=32, width=4, latent_dim=3, output="softplus", flux_scale=0.1, norm="group"
    )
    batch = Batch(image=torch.rand(4, 1, 32, 32), index=torch.arange(4))
    latent = 3 * torch.randn(4, 3)
    expected = model.decode(latent)
    with torch.autocast("cpu", torch.bfloat16):
        q = model.encode(batch.image)
        assert {q.mean.dtype, q.stddev.dtype} == {torch.float32}
        loss = model.loss(batch, 0.1, torch.randn(4, 3))
        assert {loss.total.dtype, loss.kl.dtype} == {torch.float32}
        found = model.decode(latent)
    ratio = found.sum(dim=(1, 2, 3)) / expected.sum(dim=(1, 2, 3))
    assert found.dtype == torch.float32
    assert (ratio - 1).abs().max() < 3e-3  # of an amplitude in bfloat16, up to 2 %


@pytest.mark.parametrize("name", MODELS)
def test_the_benchmark_has_the_models_of_the_configs(composed, name):
    architecture, arguments = MODELS[name]
    small = name.startswith("small")
    wanted = ["experiment=small_cvae2"] if small else [f"model={name}"]
    if "bands" in arguments:
        wanted.append(f"data.bands=[{','.join(arguments['bands'])}]")
    if not small:
        size = arguments["image_size"]
        wanted += [f"data.image_size={size}", f"model.image_size={size}"]
    configured = instantiate(composed(*wanted).model)
    made = architecture(name=name, **arguments)
    assert type(made) is type(configured)
    assert type(made.output) is type(configured.output)
    assert made.flux_scale == configured.flux_scale
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (made, configured)]
    assert shapes[0] == shapes[1]


def test_the_benchmark_has_all_models():
    configs = {path.stem for path in (CONF / "model").glob("[!_]*.yaml")}
    full = {name for name in MODELS if not name.startswith("small")}
    assert full == configs - {"vae"}  # whose size and width are the user's


def test_a_training_image_of_cvae2_takes_six_and_a_half_gflop():
    assert flop_of_training("cvae2") / 1e9 == pytest.approx(6.5, rel=0.02)


def test_the_benchmark_needs_little():
    ended = subprocess.run(
        [sys.executable, "-c", BARE], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "what is missing is missed" in ended.stdout
