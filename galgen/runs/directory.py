"""The run directory: its name, its lock, its facts, and whether it is done."""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from galgen.config.run_paths import locate
from galgen.config.trainer_rules import AUTO
from galgen.errors import GalgenError, InUse
from galgen.files import expand, reading, write_text
from galgen.runs.environment import environment
from galgen.runs.longer import check_longer, is_longer
from galgen.runs.reading import read_json
from galgen.runs.run_config import content_name, content_of, flatten, load_yaml, stored_form


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
        GalgenError: if `run_name` is not a plain folder name, or `run_dir` is another folder.
    """

    def __init__(self, config: DictConfig):
        if config.data.get("file"):
            config.data.file = str(expand(config.data.file).absolute())
        if config.get("init_from"):
            config.init_from = str(locate(config.init_from).absolute())
        self.config, self.command = config, sys.argv
        if not config.run_name:
            config.run_name = content_name(config)
        config.run_name = str(config.run_name)
        if Path(config.run_name).name != config.run_name:
            raise GalgenError(f"run_name={config.run_name}: it must be a plain folder name.")
        self.directory = expand(config.run_root) / config.run_name
        directory = str(self.directory.absolute())
        if config.run_dir not in (None, directory):
            asked = expand(str(config.run_dir)).absolute()
            raise GalgenError(
                f"run_dir={config.run_dir}: galgen makes it of two other keys. Use "
                f"run_root={asked.parent} run_name={asked.name} instead."
            )
        config.run_dir = directory

    @property
    def result(self) -> dict | None:
        """Result of the finished training; None before, and if more epochs are requested."""
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
        """Check that the directory is empty or holds this run.

        Raises:
            GalgenError: if its config is another.
        """
        path = self.directory / "config.yaml"
        if not path.is_file():
            return
        stored = flatten(content_of(load_yaml(path)))
        new = flatten(content_of(stored_form(self.config)))
        if new.get("trainer.precision") == AUTO:  # the run keeps what that was when it began
            new["trainer.precision"] = stored.get("trainer.precision")
        different = [key for key in {**stored, **new} if stored.get(key) != new.get(key)]
        if is_longer(stored, new, different):
            check_longer(self.directory, stored, new)
            return
        if different:
            key = different[0]
            raise GalgenError(
                f"{self.directory} is the run of another config ({len(different)} keys differ: "
                f"{key} is {stored.get(key)} there and {new.get(key)} here). Give another "
                "run_name, or overwrite=true to start it again."
            )

    def _has_epochs_to_go(self, result: dict) -> bool:
        """Say whether the training ended with its last epoch, and now has more."""
        try:
            before = load_yaml(self.directory / "config.yaml").trainer.max_epochs
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
                f"{self.directory} cannot be made, {error.strerror}. Give another run_root."
            ) from error
        lock = FileLock(self.directory / ".lock", timeout=0)
        try:
            with reading(self.directory):
                lock.acquire()
        except Timeout:
            raise InUse(
                f"{self.directory} is in use by another process. Wait for it, or give another "
                "run_name."
            ) from None
        try:
            yield
        finally:
            lock.release()
            if made and not (self.directory / "config.yaml").exists():
                shutil.rmtree(self.directory, ignore_errors=True)

    def wait(self, before: Callable[[], None] = lambda: None) -> bool:
        """Wait until no other process trains in the directory; return whether one did.

        Args:
            before: a function to call before the wait.
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
            GalgenError: if it is not a run directory.
        """
        others = [path.name for path in self.directory.iterdir() if path.name != ".lock"]
        if others and not (self.directory / "config.yaml").is_file():
            raise GalgenError(
                f"{self.directory} is not a run directory: it holds {others[0]} but no "
                "config.yaml, so overwrite=true does not delete it."
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
            GalgenError: if the run was started with other data.
        """
        data = self.directory / "data.json"
        facts = json.loads(json.dumps(facts))
        if data.is_file() and _survey(read_json(data)) != _survey(facts):
            raise GalgenError(
                f"{facts['file']} or its split differs from that of {self.directory} (see its "
                "data.json). Restore it, or give overwrite=true to start again."
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


def _survey(facts: dict) -> dict:
    """Leave out what may differ on another machine: the file's place, and the bits of sums."""
    sums = ("file", "squared_error_of_zero", "redshift")
    exact = {key: value for key, value in facts.items() if key not in sums}
    redshift = facts.get("redshift") or {}
    return {**exact, "redshift": redshift.get("sha256")}
