"""Every config composes and becomes objects; what is refused is refused before it runs."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from galgen.config.explanations import explain
from galgen.config.paths import CONF
from galgen.config.rules import check_rules
from galgen.config.targets import check_arguments, check_targets, instantiate
from galgen.errors import GalgenError

GROUPS = sorted(
    (str(path.parent.relative_to(CONF)), path.stem)
    for path in CONF.rglob("*.yaml")
    if not path.name.startswith("_")
    and path.parent.name not in ("conf", "experiment", "prepare", "figure")
)
FIGURES = sorted(path.stem for path in (CONF / "figure").glob("*.yaml"))
COMMANDS = (
    *("train", "import_weights", "prepare", "fit_prior", "evaluate", "plot", "generate"),
    *("export", "report", "compare"),
)
PREPARED = sorted(path.stem for path in (CONF / "prepare").glob("[!_]*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
NEEDED = {
    ("data", "file"): ["data.file=stamps.h5"],
    ("network", "spatial"): ["model.latent_dim=272"],
    ("beta_schedule", "table"): ["beta_schedule.values=[0.1,0.2]", "trainer.max_epochs=2"],
}
IMAGES = {"mosaic": ["mosaic.image=m.fits"], "cutouts": ["cutouts.images=c"]}
ELSEWHERE = {"ddp", "multi_node", "gpu"}  # of these trainers the devices are not here


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_every_option_composes_passes_the_check_and_instantiates(
    composed, group, option, monkeypatch
):
    if option == "ray":
        pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    size = {"vae128": 128, "vae158": 158}.get(option, 64)
    choice = f"[default,{option}]" if group == "callbacks" else option
    config = composed(
        f"{group}={choice}", f"data.image_size={size}", *NEEDED.get((group, option), [])
    )
    config.run_name = "x"
    config.run_dir = "runs/x"
    check_targets(config)
    check_arguments(config)
    check_rules(config)
    config.model.width = 4
    assert instantiate(config.model).latent_dim == config.model.latent_dim
    assert instantiate(config.data).name == config.data.name
    if option not in ELSEWHERE:
        callbacks = [instantiate(node) for node in config.callbacks.values()]
        trainer = instantiate(config.trainer, callbacks=callbacks, logger=False)
        assert trainer.max_epochs == config.trainer.max_epochs
    if group == "logger":
        assert not config.logger or instantiate(config.logger)


@pytest.mark.parametrize("survey", PREPARED)
def test_every_survey_can_be_prepared(composed, survey):
    config = composed(f"data={survey}", *IMAGES.get(survey, []), name="prepare")
    check_targets(config)
    check_arguments(config)
    assert instantiate(config.data).name == survey
    assert instantiate(config.prepare).shards == 64
    check_arguments(composed(f"data={survey}", name="describe"))


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_composes_and_instantiates(composed, figure):
    config = composed("run=runs/x", f"figure={figure}", name="plot")
    check_targets(config)
    check_arguments(config)
    assert type(instantiate(config.figure)).__name__.lower() == figure


def test_a_run_needs_its_checkpoints(composed):
    with pytest.raises(GalgenError, match=r"callbacks=\[default,\.\.\.\]"):
        check_rules(composed("callbacks=[early_stopping]"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_passes_the_check(composed, name):
    config = composed(f"experiment={name}", "run_dir=runs/x", "run_name=x")
    check_targets(config)
    check_arguments(config)
    check_rules(config)
    assert instantiate(config.model).image_size == config.data.image_size
    instantiate(config.data)


def test_seed_experiments_keep_the_original_settings(composed):
    for name in (name for name in EXPERIMENTS if name.startswith("seed_")):
        config = composed(f"experiment={name}")
        assert list(config.data.split) == [0.9, 0.1, 0.0]
        assert config.model.name == name.removeprefix("seed_")
        settings = (config.data.batch_size, config.trainer.max_epochs, config.model.latent_dim)
        assert settings == (64, 100, 32)
        assert (config.optimizer.lr, config.beta_schedule.beta) == (0.001, 0.1)


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"]])
def test_composing_imports_neither_torch_nor_lightning(words):
    script = (
        "import importlib, sys\n"
        f"for command in {COMMANDS}:\n"
        f"    sys.argv = [f'galgen/{{command}}.py', *{words}]\n"
        "    try:\n"
        "        importlib.import_module(f'galgen.{command}').main()\n"
        "    except SystemExit as stop:\n"
        "        assert not stop.code, command\n"
        "    slow = [m for m in ('torch', 'pytorch_lightning') if m in sys.modules]\n"
        "    print(f'imported by {command}: {slow}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith("imported by ")]
    assert found == [f"imported by {command}: []" for command in COMMANDS]


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "galgen.config.command.hydra.utils.call",
        "galgen.config.command.Path",
        "galgen.config.command.instantiate",
        "galgen.data.stamp_file.h5py",
        "galgen.data.stamp_file._Sink",
        "pytorch_lightning.cli.LightningCLI",
        "pytorch_lightning.LightningModule.load_from_checkpoint",
        "galgenevil.Thing",
        "torch.nn",
        "galgen",
        "",
    ],
)
def test_targets_that_are_no_class_of_ours_are_refused(target, tmp_path):
    node = {"outer": [{"_target_": target, "command": f"touch {tmp_path / 'executed'}"}]}
    config = OmegaConf.create(node)
    with pytest.raises(GalgenError, match=r"outer\.0\._target_"):
        check_targets(config)
    with pytest.raises(GalgenError):
        instantiate(config)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "missing"),
    [
        ("generate", [], ["n (number of galaxies)", "out (.fits", "run (run directory)"]),
        ("generate", ["n=1"], ["out (.fits", "run (run directory)"]),
        ("import_weights", [], ["file (weights of one of the original models)"]),
        ("prepare", ["data=cutouts"], ["cutouts.images (folder, pattern"]),
        ("compare", [], ["run (run directories and folders of them"]),
        ("evaluate", [], ["run (run directory)"]),
    ],
)
def test_all_values_that_must_be_given_are_asked_for_at_once(command, name, arguments, missing):
    code, printed = command(name, *arguments)
    assert code == 1
    assert printed.startswith("galgen: missing: ")
    assert printed.endswith("Give each as key=value.\n")
    assert [part in printed for part in missing] == [True] * len(missing)
    assert printed.count(" (") >= len(missing)


@pytest.mark.parametrize(
    ("survey", "word", "sentence"),
    [
        ("mosaic", "mosaic.detect=q", "mosaic.detect=q: it can be sum"),
        ("mosaic", "mosaic.threshold=x", "mosaic.threshold=x: it takes a number"),
        ("mosaic", "+mosaic.treshold=3", "mosaic.treshold: Mosaic takes no such argument"),
        ("mosaic", "data.image_size=null", "data.image_size=null: it takes a whole number"),
        ("mosaic", "data.image_size=0", "data.image_size=0: it must be positive"),
        ("mosaic", "mosaic.reproject=null", "mosaic.reproject=null: it takes true or false"),
        ("mosaic", "+mosaic.columns.x=y", "mosaic.columns.x: it is not one of ra, dec"),
        ("cutouts", "cutouts.pixel_scale=x", "cutouts.pixel_scale=x: it takes a number or null"),
        ("cutouts", "cutouts.pixel_scale=true", "cutouts.pixel_scale=true: it takes a number"),
        ("cutouts", "cutouts.sky=x", "cutouts.sky=x: it can be edges"),
        ("mosaic", "prepare.shards=0", "prepare.shards=0: it must be positive"),
    ],
)
def test_errors_start_with_the_key_that_the_user_can_type(command, survey, word, sentence):
    code, printed = command("prepare", f"data={survey}", *IMAGES[survey], word)
    assert code == 1
    assert printed.startswith(f"galgen: {sentence}"), printed


def test_a_part_of_a_config_that_is_missing_is_described():
    config = OmegaConf.create({"run": "???"})
    with pytest.raises(MissingMandatoryValue) as error:
        OmegaConf.select(config, "run", throw_on_missing=True)
    assert explain(error.value).startswith("missing: run (")


def test_arguments_of_base_classes_are_known():
    node = {"_target_": "galgen.models.fancy_cvae.FancyCVAE", "image_size": 64, "latent_dim": 3}
    check_arguments(OmegaConf.create({"model": node}))
    with pytest.raises(GalgenError, match=r"model\.latentdim: .* mean 'latent_dim'"):
        check_arguments(OmegaConf.create({"model": {**node, "latentdim": 3}}))
