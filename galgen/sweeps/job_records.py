"""What a sweep keeps of its jobs: a record of each, and all that its process is started with."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf

from galgen.errors import GalgenError
from galgen.files import cache_folder, write_text

FOLDER = "GALGEN_SWEEP"
"""Environment variable with the folder of a sweep's records."""
RUN_DIR = "@galgen-run-dir@"
"""Stands for the run directory while all else in a config is resolved."""


@dataclass
class JobRecord:
    """What a sweep knows of a job."""

    number: int
    overrides: list[str]
    state: str = "running"
    """Or waiting (for another process), done, failed, cut (by a signal)."""
    run: str = ""
    """The run directory."""
    reason: str = ""
    """Why it failed."""
    best: float | None = None
    """The objective, once it is done."""
    quantity: str = ""
    """Records of one quantity have objectives that can be compared."""
    maximise: bool = False
    """Whether the largest objective is the best."""
    skipped: bool = False
    """Whether the run had been done before, or by another process meanwhile."""
    host: str = ""
    pid: int = 0
    """Of the process that trains."""

    def save(self, folder: Path, **changes) -> None:
        """Change the record and write it."""
        for name, value in changes.items():
            setattr(self, name, value)
        write_text(folder / f"{self.number:04d}.json", json.dumps(asdict(self)))


def new_folder() -> Path:
    """Make a folder for the records of a sweep, and tell its jobs.

    Machines that share the cache may start sweeps in the same second with the same process id.
    """
    sweeps = cache_folder().absolute() / "sweeps"
    try:
        sweeps.mkdir(parents=True, exist_ok=True)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-"
        folder = Path(tempfile.mkdtemp(f"-{os.getpid()}", name, sweeps))
    except OSError as error:
        raise GalgenError(
            f"{sweeps} cannot be written, {error.strerror}. Set GALGEN_CACHE=<folder> in the "
            "environment: records of sweeps and prepared surveys are kept there."
        ) from error
    flags = subprocess._args_from_interpreter_flags()  # as multiprocessing asks for them
    write_text(folder / "python.txt", "\n".join(flags))
    os.environ[FOLDER] = str(folder)
    return folder


def read_records(folder: Path) -> list[JobRecord]:
    """Read the records of the jobs that have started, in order."""
    return [JobRecord(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def python() -> list[str]:
    """Return Python as the sweep was started, with its options such as -W."""
    flags = Path(os.environ[FOLDER]) / "python.txt"
    return [sys.executable, *flags.read_text().splitlines()]


def write_job(record: JobRecord, folder: Path, config: DictConfig, hydra: DictConfig) -> None:
    """Write the part of Hydra's composed config that a job's process needs.

    A command line that is built anew would have to repeat every option, search path and override
    of the sweep's; the config holds what all of them came to.

    Args:
        record: the job's.
        folder: of the sweep's records.
        config: the job's, with a run name.
        hydra: Hydra's own config of the job.
    """
    composed = config.copy()
    composed.run_dir = RUN_DIR
    resolved = OmegaConf.to_yaml(composed, resolve=True).replace(RUN_DIR, "${run_dir}")
    resolved = OmegaConf.create(resolved)
    resolved.run_dir = None
    content = {
        "config": resolved,
        "command": _command(record, hydra),
        "job_logging": OmegaConf.to_container(hydra.job_logging, resolve=True),
        "verbose": hydra.verbose,
    }
    write_text(folder / f"{record.number:04d}.yaml", OmegaConf.to_yaml(OmegaConf.create(content)))


def read_job(record: JobRecord, folder: Path) -> tuple[DictConfig, list[str]]:
    """Return the config of a job and the command that a run keeps; set up logging like Hydra."""
    job = OmegaConf.load(folder / f"{record.number:04d}.yaml")
    configure_log(job.job_logging, job.verbose)
    return OmegaConf.create(OmegaConf.to_yaml(job.config)), list(job.command)


def _command(record: JobRecord, hydra: DictConfig) -> list[str]:
    """Return the words that train a job alone."""
    words = ["galgen.train"]
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            words.append(f"--config-dir={source.path}")
    if hydra.job.config_name != "train":
        words.append(f"--config-name={hydra.job.config_name}")
    of_sweep = ("hydra.mode=", "hydra.launcher", "hydra/launcher", "hydra.sweep", "hydra/sweep")
    own = [word for word in hydra.overrides.hydra if not word.lstrip("+~").startswith(of_sweep)]
    return [*words, *own, *record.overrides]
