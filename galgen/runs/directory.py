"""The run directory: its name, its lock, what it remembers, and whether it is done."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from galgen.config.run_paths import is_run
from galgen.config.targets import check_targets
from galgen.errors import GalgenError, InUse, Unreadable
from galgen.files import expand, reading, write_text
from galgen.runs.longer import check_longer, is_longer

PARTS_OF_CONFIG = ("model", "data", "transform")
"""Nodes that every run's config has."""
NOT_CONTENT = (
    *("run_root", "run_name", "run_dir", "resume", "overwrite"),
    *("launcher", "search", "logger", "prior", "trusted_packages"),
    # When a training pauses changes nothing of it.
    *("trainer.max_time", "data.hint"),
)
"""Keys that say where and how a run is made, kept and tracked, not what it is."""
FITTED = Path("priors") / "fitted.json"
"""File that says with which arguments the priors of a run were fitted."""
REPORTED = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "h5py", "wandb")
"""Packages whose versions a run remembers, beside galgen's own."""


class Run:
    """One training, and the directory that holds all of it.

    Sets `run_name` in the config, if it has none, to a name that follows from its content, and
    makes paths in the config absolute.

    Args:
        config: composed train config; its interpolations of `run_dir` work from then on.

    Attributes:
        directory: the run's folder.
        command: the words that environment.json keeps.

    Raises:
        GalgenError: if `run_name` is no plain folder name.
    """

    def __init__(self, config: DictConfig):
        if config.data.get("file"):
            config.data.file = str(expand(config.data.file).absolute())
        if config.get("init_from"):
            config.init_from = str(expand(config.init_from).absolute())
        self.config, self.command = config, sys.argv
        if not config.run_name:
            config.run_name = content_name(config)
        config.run_name = str(config.run_name)
        if Path(config.run_name).name != config.run_name:
            raise GalgenError(f"run_name is {config.run_name!r}, it must be a plain folder name")
        self.directory = expand(config.run_root) / config.run_name
        config.run_dir = str(self.directory.absolute())

    @property
    def result(self) -> dict | None:
        """What the finished training arrived at; None before, and where it has epochs to go."""
        done = self.directory / "DONE"
        try:
            with reading(done):
                result = json.loads(done.read_text()) if done.is_file() else None
        except (FileNotFoundError, ValueError):  # ValueError: damaged, so not to be believed
            return None
        return None if result and self._has_epochs_to_go(result) else result or None

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that a resume starts from; it may not exist yet."""
        return self.directory / "checkpoints" / "last.ckpt"

    def check_config(self) -> None:
        """Check that what the directory holds, if anything, is this run.

        Raises:
            GalgenError: if its config is another.
        """
        path = self.directory / "config.yaml"
        if not path.is_file():
            return
        stored = flatten(_content(_load_yaml(path)))
        new = flatten(_content(stored_form(self.config)))
        different = [key for key in {**stored, **new} if stored.get(key) != new.get(key)]
        if is_longer(stored, new, different):
            check_longer(self.directory, stored, new)
            return
        if different:
            key = different[0]
            raise GalgenError(
                f"{self.directory} is the run of another config ({len(different)} keys differ: "
                f"{key} is {stored.get(key)} there and {new.get(key)} here); give another "
                "run_name, or overwrite=true to start it afresh"
            )

    def _has_epochs_to_go(self, result: dict) -> bool:
        """Say whether the training ended with its last epoch, and now has more."""
        try:
            before = _load_yaml(self.directory / "config.yaml").trainer.max_epochs
            return result["last"]["epoch"] >= before < self.config.trainer.max_epochs
        except (GalgenError, KeyError, TypeError, AttributeError):  # imported, or damaged
            return False

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the directory, which is made if need be.

        Raises:
            InUse: if another process is training in it.
            GalgenError: if it cannot be made.
        """
        made = not self.directory.exists()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GalgenError(
                f"{self.directory} cannot be made, {error.strerror}; give another run_root"
            ) from error
        lock = FileLock(self.directory / ".lock", timeout=0)
        try:
            with reading(self.directory):
                lock.acquire()
        except Timeout:
            raise InUse(
                f"{self.directory} is in use by another process; wait for it, or give another "
                "run_name"
            ) from None
        try:
            yield
        finally:
            lock.release()
            if made and not (self.directory / "config.yaml").exists():
                shutil.rmtree(self.directory, ignore_errors=True)

    def wait(self, before: Callable[[], None] = lambda: None) -> bool:
        """Wait until no other process trains in the directory; say whether one did.

        Args:
            before: what is done before the wait.
        """
        path = self.directory / ".lock"
        if not path.exists():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            before()
            lock.acquire(poll_interval=0.5)
            waited = True
        else:
            waited = False
        lock.release()
        return waited

    def clear(self) -> None:
        """Delete all that the directory holds but its lock.

        Raises:
            GalgenError: if it is no run directory.
        """
        others = [path.name for path in self.directory.iterdir() if path.name != ".lock"]
        if others and not (self.directory / "config.yaml").is_file():
            raise GalgenError(
                f"{self.directory} is no run directory, it holds {others[0]} and no config.yaml: "
                "overwrite=true does not delete it"
            )
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()

    def remember(self, facts: dict) -> None:
        """Write config, environment and survey facts at the start of a training.

        Args:
            facts: what data.json keeps.

        Raises:
            GalgenError: if the run has begun on other data.
        """
        data = self.directory / "data.json"
        facts = json.loads(json.dumps(facts))
        if data.is_file() and _survey(_remembered(data)) != _survey(facts):
            raise GalgenError(
                f"{facts['file']} or its split is not what {self.directory} was begun with (see "
                "data.json there); restore it, or give overwrite=true to start afresh"
            )
        write_text(data, json.dumps(facts, indent=2))
        write_text(
            self.directory / "environment.json", json.dumps(environment(self.command), indent=2)
        )
        write_text(self.directory / "config.yaml", OmegaConf.to_yaml(stored_form(self.config)))

    def finish(self, result: dict) -> None:
        """Mark the training as finished.

        Args:
            result: its last metrics, by name.
        """
        write_text(self.directory / "DONE", json.dumps(result, indent=2))


def the_one_prior(names: Iterable[str]) -> str | None:
    """Return the only name of a prior; None where there is none.

    Raises:
        GalgenError: if there are several.
    """
    names = list(names)
    if len(names) > 1:
        raise GalgenError(f"prior={names}: galaxies are drawn from one prior. Name one of these.")
    return next(iter(names), None)


def fitted_priors(directory: Path) -> dict[str, dict]:
    """Read with which arguments priors were fitted to a run, by name; without torch.

    Args:
        directory: the run directory.
    """
    path = Path(directory) / FITTED
    return _remembered(path) if path.is_file() else {}


def remember_prior(directory: Path, name: str, node: DictConfig, seed: int) -> None:
    """Keep with which arguments a prior was fitted to a run.

    Args:
        directory: the run directory.
        name: of the prior.
        node: `_target_` and arguments of its class.
        seed: that it was fitted with.
    """
    kept = {"node": OmegaConf.to_container(node, resolve=True), "seed": seed}
    content = {**fitted_priors(directory), name: kept}
    write_text(Path(directory) / FITTED, json.dumps(content, indent=2))


def forget_prior(directory: Path, name: str | None = None) -> None:
    """Take a prior for not fitted, before it is fitted anew; all of them where None.

    Args:
        directory: the run directory.
        name: of the prior.
    """
    kept = {} if name is None else fitted_priors(directory)
    if kept.pop(name, None) or name is None:
        path = Path(directory) / FITTED
        if kept:
            write_text(path, json.dumps(kept, indent=2))
        else:
            path.unlink(missing_ok=True)


def content_name(config: DictConfig) -> str:
    """Name a run by what it is: survey, model, latent size, beta, seed and a hash of the rest."""
    choices = OmegaConf.to_container(stored_form(config))
    content = json.dumps(_content(choices), sort_keys=True).encode()
    beta = config.beta_schedule.get("beta", "table")
    return (
        f"{config.data.name}-{config.model.name}-latent{config.model.latent_dim}-beta{beta}"
        f"-s{config.seed}-{hashlib.sha256(content).hexdigest()[:8]}"
    )


def stored_form(config: DictConfig) -> DictConfig:
    """Resolve a config, with paths inside the run directory relative to it."""
    copy = config.copy()
    copy.run_dir = "."
    return OmegaConf.create(OmegaConf.to_container(copy, resolve=True))


def find_runs(folders: list[Path]) -> list[Path]:
    """Return the run directories that are meant, each once.

    Args:
        folders: run directories, and folders of run directories.

    Raises:
        GalgenError: if a folder is neither.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        below = sorted(folder.iterdir()) if folder.is_dir() else []
        runs = [path for path in ([folder] if is_run(folder) else below) if is_run(path)]
        if not runs:
            raise GalgenError(
                f"{folder} is no run directory, and no folder of any: a run has a config.yaml"
            )
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def read_config(directory: Path) -> DictConfig:
    """Read the config of a run.

    Args:
        directory: the run directory.

    Raises:
        GalgenError: if it is no run directory, or its config names a class that is not allowed.
    """
    config = read_unchecked_config(directory)
    check_targets(config)
    return config


def read_unchecked_config(directory: Path) -> DictConfig:
    """Read the config of a run to be looked at: nothing that it names is imported or may be made.

    Args:
        directory: the run directory.

    Raises:
        GalgenError: if it is no run directory, or its config is damaged.
    """
    path = Path(directory) / "config.yaml"
    if not path.is_file():
        raise GalgenError(f"{directory} is no run directory: it has no config.yaml")
    config = _load_yaml(path)
    for key in PARTS_OF_CONFIG:
        if not isinstance(config.get(key), DictConfig) or "_target_" not in config[key]:
            raise GalgenError(f"{path} is damaged: it describes no {key}")
    config.run_dir = str(directory)
    return config


def read_facts(directory: Path) -> dict:
    """Read what a run keeps of its survey, transform and split.

    Args:
        directory: the run directory.

    Raises:
        GalgenError: if its data.json is missing or damaged.
    """
    path = Path(directory) / "data.json"
    try:
        with reading(path):
            facts = json.loads(path.read_text())
        facts["transform"]["name"], facts["survey"]
    except FileNotFoundError as error:
        raise GalgenError(f"{directory} has no data.json: its training never began") from error
    except (ValueError, TypeError, KeyError) as error:
        raise GalgenError(f"{path} is damaged: {error!r}") from error
    return facts


def keep_scale(config: DictConfig, facts: dict) -> None:
    """Give a run's transform the scale that the training took from its survey.

    Args:
        config: the run's.
        facts: what its data.json keeps.

    Raises:
        GalgenError: if it keeps none.
    """
    scale = facts["transform"].get("scale")
    for node in (config.transform, config.data.transform):
        if "scale" in node or scale is not None:
            if type(scale) not in (float, int) or not scale > 0:
                raise GalgenError(
                    f"data.json: transform.scale={scale} is not a positive number, so the unit of "
                    "the run's images is not known. Train it again"
                )
            node.scale = scale


def read_verdict(directory: Path) -> dict | None:
    """Read how a finished training judged its model; None where it did not.

    Raises:
        GalgenError: if the result is damaged.
    """
    path = Path(directory) / "DONE"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text()).get("verdict")
    except (ValueError, AttributeError) as error:
        raise GalgenError(
            f"{path} is damaged: {error}. Give the training's command again"
        ) from error


def is_finished(directory: Path) -> bool:
    """Say whether the training of a run directory came to its end."""
    return (Path(directory) / "DONE").is_file()


def checkpoint_path(directory: Path, checkpoint: str | None = None) -> Path:
    """Return where a run's checkpoint is.

    Args:
        directory: the run directory.
        checkpoint: `best` or `last`; where None, the best of a finished run, else the last.
    """
    checkpoint = checkpoint or ("best" if is_finished(directory) else "last")
    return Path(directory) / "checkpoints" / f"{checkpoint}.ckpt"


def environment(command: list[str]) -> dict:
    """Describe where and with what a training runs, by which command."""
    return {
        "galgen": importlib.metadata.version("galgen"),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in REPORTED},
        "git": _git_state(),
        "command": command,
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    }


def flatten(node, prefix: str = "") -> dict:
    """Give the values of a config by their full keys, such as `model.width`."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node)
    if not isinstance(node, dict):
        return {prefix: node}
    flat = {}
    for key, value in node.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat


def _git_state() -> dict | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel


def _load_yaml(path: Path) -> DictConfig:
    try:
        with reading(path):
            config = OmegaConf.load(path)
    except Unreadable:
        raise
    except Exception as error:  # of yaml and omegaconf, which have no common base
        raise GalgenError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise GalgenError(f"{path} is damaged: it is no mapping")
    return config


def _remembered(path: Path) -> dict:
    try:
        with reading(path):
            return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise GalgenError(
            f"{path}: the file is damaged. Restore it, or give overwrite=true to start afresh."
        ) from error


def _content(config: dict | DictConfig) -> dict:
    content = {key: value for key, value in config.items() if key not in NOT_CONTENT}
    for group in ("trainer", "data"):
        content[group] = {
            key: value
            for key, value in (config.get(group) or {}).items()
            if f"{group}.{key}" not in NOT_CONTENT
        }
    return content


def _survey(facts: dict) -> dict:
    """Leave out what may differ on another machine: the file's place, and the bits of sums."""
    sums = ("file", "squared_error_of_zero", "redshift")
    exact = {key: value for key, value in facts.items() if key not in sums}
    redshift = facts.get("redshift") or {}
    return {**exact, "redshift": redshift.get("sha256")}
