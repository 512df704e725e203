"""Sweeps: each job of a multirun is a command of its own, in a fresh process.

Hydra's launchers decide where and when jobs run. They call `do_job`, which finds the job's run and
starts a process that trains it unless it is done. So a job has its own command line, which several
processes of one training need, and a crash ends only that job.
"""

import contextlib
import ctypes
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from galgen.config.rules import check_rules
from galgen.data.from_stamp_file import fill_in_stamps
from galgen.data.unknown_telescope import do_without_unknown
from galgen.errors import GalgenError, InUse
from galgen.runs.directory import Run
from galgen.sweeps.gpus import hold_gpus, jobs_at_once
from galgen.sweeps.job_records import FOLDER, JobRecord, python, read_records, write_job
from galgen.sweeps.objective import objective, quantity
from galgen.training.one_training import missing_priors
from galgen.training.preemption import SIGNALS, Preempted, preemptible

OF_THE_SWEEP = ("launcher", "search")
"""Groups about how jobs are chosen and started, which are not part of a job."""
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl."""

OmegaConf.register_new_resolver("jobs_at_once", jobs_at_once, replace=True)


def do_job(config: DictConfig) -> float:
    """Do a job of a sweep, unless its run is done.

    Args:
        config: the job's.

    Returns:
        The value of the objective; NaN of a job that failed.

    Raises:
        GalgenError: of a job that failed, where a search must know.
    """
    job, folder = HydraConfig.get(), Path(os.environ[FOLDER])
    parent = os.getppid()
    in_worker = str(parent) == folder.name.rpartition("-")[2]
    if in_worker:  # of joblib's
        _die_with_parent()
    task = [word for word in job.overrides.task if _group(word) not in OF_THE_SWEEP]
    record = JobRecord(job.job.num, task, host=platform.node())
    record.maximise = job.sweeper.get("direction") == "maximize"
    record.save(folder)
    try:
        fill_in_stamps(config)
        do_without_unknown(config)
        check_rules(config)
        run = Run(config)
        # A job that works in a folder of its own makes its run below that.
        place = Path(config.run_dir) if job.job.chdir else run.directory
        record.save(folder, run=str(place), quantity=quantity(config))
        if config.overwrite:
            _check_alone(record, folder)
        if not config.overwrite:
            run.check_config()
        record.skipped = _is_done(config, run) and not config.overwrite
        with _signals(job):
            if not record.skipped:
                write_job(record, folder, config, job)
                _do_once(record, folder, config, run, job)
            record.save(folder, state="done", best=objective(config, run))
    except Preempted as error:
        record.save(folder, state="cut", reason=str(error))
        if in_worker and os.getppid() != parent:
            os._exit(error.exit_code)  # joblib would wait for jobs of the sweep, which is dead
        sys.exit(error.exit_code)  # after an Exception Hydra would start the next job
    except Exception as error:
        record.save(folder, state="failed", reason=str(error))
        if config.search:
            raise
        return float("nan")
    except BaseException:
        record.save(folder, state="cut", reason="interrupted")
        raise
    return record.best


def _do_once(
    record: JobRecord, folder: Path, config: DictConfig, run: Run, job: DictConfig
) -> None:
    """Train a job's run, or take the result of another process that trains it already."""
    rooms, met = config.launcher.get("jobs_per_gpu", 0), False
    while not _done_elsewhere(record, folder, config, run, met):
        with (
            contextlib.suppress(InUse),
            hold_gpus(_gpus_of(config.trainer, rooms), rooms) as gpus,
        ):
            words = [*python(), "-m", "galgen.sweeps.one_job", str(folder), str(record.number)]
            log = folder / f"{record.number:04d}.log"
            _run_process(words, record, folder, log, _environment(job, gpus))
            return
        met = True


def _done_elsewhere(
    record: JobRecord, folder: Path, config: DictConfig, run: Run, met: bool = False
) -> bool:
    """Wait until no other process trains in a run; return whether the run is then finished.

    Args:
        record: the job's.
        folder: of the sweep's records.
        config: the job's; a run that is to be overwritten counts if it ended just now.
        run: the job's.
        met: whether another process has been met in the run before.
    """
    met = run.wait(lambda: record.save(folder, state="waiting")) or met
    record.skipped = _is_done(config, run) and (met or not config.overwrite)
    return record.skipped


def _is_done(config: DictConfig, run: Run) -> bool:
    return run.result is not None and not missing_priors(config, run)


def _check_alone(record: JobRecord, folder: Path) -> None:
    """Check that a job has a directory of its own.

    Raises:
        GalgenError: if another job of the sweep has the same.
    """
    for other in read_records(folder):
        if other.number != record.number and other.run == record.run:
            raise GalgenError(
                f"{record.run} is the directory of job {other.number} of this sweep too. Vary "
                "the config from job to job, and run_name with it if you give one."
            )


def _group(override: str) -> str:
    """Return the first part of an override's key."""
    return re.split(r"[.=]", override.lstrip("+~"))[0]


def _signals(job: DictConfig) -> contextlib.AbstractContextManager:
    """Have signals end the job; submitit handles them itself, and requeues the job."""
    by_submitit = "submitit" in job.runtime.choices["hydra/launcher"]
    return contextlib.nullcontext() if by_submitit else preemptible()


def _run_process(
    words: list[str], record: JobRecord, folder: Path, log: Path, environment: dict[str, str]
) -> None:
    """Run a process that trains a job; its output goes into a file.

    Raises:
        Preempted: if it was stopped by a signal.
        InUse: if another process trains in its run.
        GalgenError: if it failed; the message is its own, or names the signal that killed it.
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
        record.save(folder, state="running", pid=process.pid)
        code = process.wait()
    except BaseException:  # a signal to this process: the other is to write its checkpoint
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if code == Preempted.exit_code or -code in SIGNALS:  # the latter before it could see to them
        raise Preempted("stopped by a signal")
    if code:
        raise (InUse if code == InUse.of_a_job else GalgenError)(_reason(code, log))


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
    """Return why a process failed: its last error, or the signal that killed it."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}; {log} has its output"
    lines = log.read_text(errors="replace").splitlines()
    said = [line.removeprefix("galgen: ") for line in lines if line.startswith("galgen: ")]
    return said[-1] if said else f"it ended with code {code}; {log} has its output"


def _die_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGNALS[0])
