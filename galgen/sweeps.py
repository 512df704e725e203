"""Sweeps: each job of a multirun is a command of its own, in a fresh process.

Hydra's launchers say where and when jobs run. What they call finds out which run a job is, leaves
it alone if it is done, and else starts the command that trains it; so a job has its own command
line, which several processes of one training need, and takes nothing with it when it dies.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from galgen.devices import hold_gpus, jobs_at_once
from galgen.errors import GalgenError
from galgen.files import cache_folder, write_text
from galgen.objectives import objective
from galgen.preemption import SIGNALS, Preempted, preemptible
from galgen.rules import check_rules
from galgen.runs import Run, flatten, stored_form

FOLDER = "GALGEN_SWEEP"
"""Environment variable that tells the jobs of a sweep where their records lie."""
OF_THE_SWEEP = ("launcher", "search")
"""Groups that say how jobs are chosen and started, not what they are."""
IN_COMMON = ("model.", "data.", "transform.", "trainer.")
"""What jobs of a stack have in common ..."""
OF_ITS_OWN = ("model.beta_schedule", "model.optimizer", "model.lr_schedule", "data.seed")
"""... but for these."""
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl."""

OmegaConf.register_new_resolver("jobs_at_once", jobs_at_once, replace=True)


@dataclass
class Record:
    """What a sweep knows of a job."""

    number: int
    overrides: list[str]
    state: str = "running"
    """Or waiting (for the others of its stack), done, failed, cut (by a signal)."""
    run: str = ""
    """The run directory."""
    reason: str = ""
    """Why it failed."""
    best: float | None = None
    """The objective, once it is done."""
    skipped: bool = False
    """Whether the run had been done before."""
    host: str = ""
    pid: int = 0
    """Of the process that trains."""
    stack: str = ""
    """What it has in common with the jobs that are trained in one process with it."""

    def save(self, folder: Path, **changes) -> None:
        """Change the record and write it."""
        for name, value in changes.items():
            setattr(self, name, value)
        write_text(folder / f"{self.number:04d}.json", json.dumps(asdict(self)))


def new_folder() -> Path:
    """Make a folder for the records of a sweep, and tell its jobs."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder = cache_folder().absolute() / "sweeps" / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise GalgenError(
            f"{folder} cannot be made, {error.strerror}; say where records of sweeps and prepared "
            "surveys may lie: GALGEN_CACHE=<folder> in the environment"
        ) from error
    os.environ[FOLDER] = str(folder)
    return folder


def read_records(folder: Path) -> list[Record]:
    """Read the records of the jobs that have begun, in order."""
    return [Record(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def do_job(config: DictConfig) -> float:
    """Do a job of a sweep, unless its run is done.

    Args:
        config: the job's.

    Returns:
        The value of the objective; NaN of a job that failed, or waits for the others of a stack.

    Raises:
        GalgenError: of a job that failed, where a search must know.
    """
    job, folder = HydraConfig.get(), Path(os.environ[FOLDER])
    task = [word for word in job.overrides.task if _group(word) not in OF_THE_SWEEP]
    record = Record(job.job.num, task, host=platform.node())
    record.save(folder)
    try:
        check_rules(config)
        run = Run(config)
        record.save(folder, run=str(run.directory))
        if config.overwrite or config.launcher.get("stacked"):
            _check_alone(record, folder)
        if not config.overwrite:
            run.check_config()
        record.skipped = run.result is not None and not config.overwrite
        if config.launcher.get("stacked") and not record.skipped:
            write_text(config_of(record, folder), OmegaConf.to_yaml(config))
            record.save(folder, state="waiting", stack=stack_of(config))
            return float("nan")
        if not record.skipped:
            rooms = config.launcher.get("jobs_per_gpu", 0)
            with _signals(job), hold_gpus(_gpus_of(config.trainer, rooms), rooms) as gpus:
                _run_command(record, folder, job, gpus)
        record.save(folder, state="done", best=objective(config, run))
    except Preempted as error:
        record.save(folder, state="cut", reason=str(error))
        sys.exit(error.exit_code)  # Hydra would go on to the next job after an Exception
    except Exception as error:
        record.save(folder, state="failed", reason=str(error))
        if config.search:
            raise
        return float("nan")
    except BaseException:
        record.save(folder, state="cut", reason="interrupted")
        raise
    return record.best


def _check_alone(record: Record, folder: Path) -> None:
    """Check that a job has a directory of its own.

    Raises:
        GalgenError: if another job of the sweep has the same.
    """
    for other in read_records(folder):
        if other.number != record.number and other.run == record.run:
            raise GalgenError(
                f"{record.run} is the directory of job {other.number} of this sweep too; the jobs "
                "must differ, and run_name, if it is given, with them"
            )


def config_of(record: Record, folder: Path) -> Path:
    """Return where the config of a job that waits is kept."""
    return folder / f"{record.number:04d}.yaml"


def stack_of(config: DictConfig) -> str:
    """Hash what trainings have in common that can be computed as one."""
    flat = flatten(stored_form(config))
    content = {
        key: value
        for key, value in flat.items()
        if key.startswith(IN_COMMON) and not key.startswith(OF_ITS_OWN)
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def train_stacks(folder: Path) -> None:
    """Train the jobs that wait, each stack of them in a process of its own.

    Raises:
        Preempted: if one was told to leave.
    """
    stacks: dict[str, list[Record]] = {}
    for record in read_records(folder):
        if record.state == "waiting":
            stacks.setdefault(record.stack, []).append(record)
    for records in stacks.values():
        numbers = [str(record.number) for record in records]
        words = [sys.executable, "-m", "galgen.stacking", str(folder), *numbers]
        log = folder / f"{records[0].number:04d}.log"
        reason = f"it ended without a result; {log} has its output"
        try:
            _run_process(words, records, folder, log, dict(os.environ))
        except Preempted:
            raise
        except GalgenError as error:
            reason = str(error)
        for record in read_records(folder):
            if str(record.number) in numbers and record.state == "running":
                record.save(folder, state="failed", reason=reason)


def _group(override: str) -> str:
    """Return the first part of an override's key."""
    return re.split(r"[.=]", override.lstrip("+~"))[0]


def _signals(job: DictConfig) -> contextlib.AbstractContextManager:
    """Have signals end the job; submitit handles them itself, and requeues the job."""
    by_submitit = "submitit" in job.runtime.choices["hydra/launcher"]
    return contextlib.nullcontext() if by_submitit else preemptible()


def _run_command(record: Record, folder: Path, job: DictConfig, gpus: list[str]) -> None:
    """Run a job's command in a process of its own.

    Raises:
        Preempted: if it was told to leave.
        GalgenError: if it failed.
    """
    words = [sys.executable, "-m", f"galgen.{job.job.config_name}", *record.overrides]
    words += [
        f"--config-dir={source.path}"
        for source in job.runtime.config_sources
        if source.provider == "command-line"
    ]
    log = folder / f"{record.number:04d}.log"
    _run_process(words, [record], folder, log, _environment(job, gpus))


def _run_process(
    words: list[str], records: list[Record], folder: Path, log: Path, environment: dict[str, str]
) -> None:
    """Run a process that trains jobs; its output goes into a file.

    Raises:
        Preempted: if it was told to leave.
        GalgenError: if it failed; the message is its own, or says what killed it.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=_die_with_parent,
        )
    try:
        for record in records:
            record.save(folder, state="running", pid=process.pid)
        code = process.wait()
    except BaseException:  # a signal to this process: the other is to write its checkpoint
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if code == Preempted.exit_code or -code in SIGNALS:  # the latter before it could see to them
        raise Preempted("stopped by a signal")
    if code:
        raise GalgenError(_reason(code, log))


def _environment(job: DictConfig, gpus: list[str]) -> dict[str, str]:
    """Return the environment of a job: its GPUs, or its share of the cores."""
    environment = dict(os.environ)
    at_once = job.launcher.get("n_jobs", 1)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    elif at_once > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
    return environment


def _gpus_of(trainer: DictConfig, rooms: int) -> int:
    """Return how many GPUs a job is to be given; none where it chooses for itself."""
    chooses = trainer.accelerator == "cpu" or type(trainer.devices) is not int
    return 0 if chooses or not rooms else max(trainer.devices, 0)


def _reason(code: int, log: Path) -> str:
    """Say why a process failed: what it said last, or the signal that killed it."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}; {log} has its output"
    lines = log.read_text(errors="replace").splitlines()
    said = [line.removeprefix("galgen: ") for line in lines if line.startswith("galgen: ")]
    return said[-1] if said else f"it ended with code {code}; {log} has its output"


def _die_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGNALS[0])
