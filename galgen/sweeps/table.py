"""The live table of a sweep, and its summary."""

import contextlib
import logging
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from galgen.config.command import leave
from galgen.errors import GalgenError
from galgen.runs.metrics import read_metrics
from galgen.sweeps.job_records import JobRecord, new_folder, read_records
from galgen.sweeps.objective import LOSS, check_search
from galgen.training.preemption import Preempted, preemptible

TERMS = ["val/reconstruction", "val/kl"]
"""What is shown of jobs whose losses cannot be compared."""
PATIENCE = 60.0
"""Seconds to wait for jobs to stop after a signal."""
STYLES = {"done": "green", "running": "cyan", "waiting": "dim", "failed": "red", "cut": "yellow"}


class Watch(Callback):
    """Show the jobs when Hydra starts a sweep, however it was requested."""

    shown: contextlib.ExitStack | None = None
    """What ends with the sweep; None in a command whose jobs are not shown."""
    folder: Path | None = None
    """Of the records; None where there is no sweep."""

    def on_multirun_start(self, config: DictConfig, **others) -> None:
        """Check the search, make a folder for the records, and show them."""
        if Watch.shown is None:
            return
        try:
            check_search(config, _varied(config))
            folder = new_folder()
        except GalgenError as error:  # which Hydra would turn into a warning
            leave(error)
        for name in ("hydra", "hydra_plugins"):
            logging.getLogger(name).setLevel(logging.WARNING)
        from joblib.externals.loky import process_executor

        process_executor.kill_process_tree = kill_alone
        Watch.folder = folder
        Watch.shown.enter_context(preemptible(before=lambda: stop_jobs(folder)))
        Watch.shown.enter_context(_shown(folder, Console(soft_wrap=True)))


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Show the jobs of a sweep while the block runs, if there is one.

    In the end the process exits with 1 if a job failed.

    Raises:
        GalgenError: if a process that starts jobs was killed, or a job was stopped by a signal.
    """
    if get_args_parser().parse_known_args()[0].experimental_rerun is not None:
        raise GalgenError(
            "--experimental-rerun: it reads a pickle, which can hold any program. Give the "
            "overrides again; environment.json in the run directory keeps the command."
        )
    Watch.folder = None
    try:
        with contextlib.ExitStack() as Watch.shown:
            try:
                yield
            except BaseException:  # jobs outlive the processes that started them
                if Watch.folder:
                    stop_jobs(Watch.folder)
                raise
    except SystemExit as stop:  # of a job that a signal stopped
        if stop.code != Preempted.exit_code or not Watch.folder:
            raise
        raise Preempted("stopped by a signal. The same command continues from here.") from None
    except _killed() as error:
        raise GalgenError(
            "a process that starts jobs was killed, and the sweep with it. The same command "
            "continues from here."
        ) from error
    finally:
        Watch.shown = None
        records = read_records(Watch.folder) if Watch.folder else []
        if Watch.folder:
            _conclude(records, Console(soft_wrap=True))
    if any(record.state == "failed" for record in records):
        sys.exit(1)


def _killed() -> type[Exception] | tuple:
    """Return joblib's error, which only a sweep can end with."""
    if not Watch.folder:
        return ()
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return TerminatedWorkerError


def _varied(config: DictConfig) -> list[str]:
    """Name the keys and groups that a sweep varies, from Hydra's config of all of it."""
    overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    given = [override.key_or_group for override in overrides if override.is_sweep_override()]
    return [*given, *map(str, config.hydra.sweeper.get("params") or {})]


def _conclude(records: list[JobRecord], console: Console) -> None:
    for record in filter(_here, records):
        if record.state in ("running", "waiting"):  # its starter could not record the end
            record.state = "cut"
    console.print(Group(summary(records), table(records, every=True)))
    for record in records:
        if record.state == "failed":
            changed = " ".join(record.overrides)
            print(f"galgen: job {record.number} failed: {record.reason} ({changed})")


def summary(records: list[JobRecord]) -> str:
    """Count the jobs by state, and name the best."""
    counts = {state: sum(r.state == state for r in records) for state in STYLES}
    skipped = sum(record.skipped for record in records)
    said = [f"{n} {state}" for state, n in counts.items() if n] + [f"{skipped} of them before"] * (
        skipped > 0
    )
    known = [r for r in records if r.state == "done" and r.best == r.best]
    best = None
    if known and comparable(records):
        best = (max if known[0].maximise else min)(known, key=lambda record: record.best)
    end = f"; best so far {best.best:.4g} in {best.run}" if best else ""
    return f"sweep: {', '.join(said) or 'no job has started'}{end}"


def comparable(records: list[JobRecord]) -> bool:
    """Say whether the objectives of jobs are one quantity, as far as it is known."""
    return len({record.quantity for record in records if record.quantity}) <= 1


def table(records: list[JobRecord], every: bool = False) -> Table:
    """Tabulate jobs: those that are running or in trouble, or all."""
    terms = _terms(records)
    names = [term.removeprefix("val/") for term in terms]
    shown = Table("job", "run", "state", "epoch", *names, box=None)
    for record in records:
        if every or record.state != "done":
            shown.add_row(*_row(record, terms), style=STYLES[record.state])
    return shown


def _terms(records: list[JobRecord]) -> list[str]:
    """Name the losses that are shown of jobs."""
    return [LOSS] if comparable(records) else TERMS


def _row(record: JobRecord, terms: list[str]) -> list[str]:
    """Return a job's line; of the losses, those of the epoch with the lowest."""
    name = Path(record.run).name or " ".join(record.overrides)
    try:
        rows = read_metrics(Path(record.run)) if record.run else []
    except GalgenError:
        rows = []
    epoch = f"{rows[-1]['epoch']:.0f}" if rows else ""
    best = min(rows, key=lambda row: row.get(LOSS, math.inf), default={})
    losses = [f"{best[term]:.4g}" if term in best else "" for term in terms]
    state = "done before" if record.skipped else record.state
    return [str(record.number), name, state, epoch, *losses]


@contextlib.contextmanager
def _shown(folder: Path, console: Console) -> Iterator[None]:
    """Show a live table on a terminal; elsewhere a line for each job that ends."""
    if console.is_terminal:

        def now() -> Group:
            records = read_records(folder)
            return Group(summary(records), table(records))

        with Live(get_renderable=now, console=console, refresh_per_second=1, transient=True):
            yield
        return
    over = threading.Event()
    printer = threading.Thread(target=_print_changes, args=(folder, over), daemon=True)
    printer.start()
    try:
        yield
    finally:
        over.set()
        printer.join()


def _print_changes(folder: Path, over: threading.Event) -> None:
    seen: dict[int, str] = {}
    while True:
        last = over.wait(1.0)
        records = read_records(folder)
        terms = _terms(records)
        for record in records:
            if seen.get(record.number) != record.state:
                seen[record.number] = record.state
                print(" ".join(["sweep: job", *filter(None, _row(record, terms))]), flush=True)
        if last:
            return


def kill_alone(process) -> None:
    """Kill a process that starts jobs, as joblib does; its job gets SIGTERM and stops."""
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def stop_jobs(folder: Path) -> None:
    """Tell the jobs on this machine to write their checkpoints and leave, and wait for them."""
    running = [
        record.pid
        for record in read_records(folder)
        if record.state == "running" and record.pid and _here(record)
    ]
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    while any(map(_alive, running)) and time.monotonic() < end:
        time.sleep(0.2)


def _here(record: JobRecord) -> bool:
    return record.host == platform.node()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        # A job that has ended is still there until what started it, if it can, asks how it ended.
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
