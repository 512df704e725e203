"""The live table of a sweep, and what is said at its end."""

import contextlib
import logging
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from galgen.errors import GalgenError
from galgen.objectives import LOSS
from galgen.preemption import Preempted, preemptible
from galgen.records import read_metrics
from galgen.sweeps import Record, new_folder, read_records, train_stacks

MULTIRUN = {"-m", "--multirun", "hydra.mode=MULTIRUN"}
"""What on the command line asks for a sweep."""
PATIENCE = 60.0
"""How long jobs that were told to leave are waited for, seconds."""
STYLES = {"done": "green", "running": "cyan", "waiting": "dim", "failed": "red", "cut": "yellow"}


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Show the jobs of a sweep while the block runs, if the command line asks for one.

    In the end the process exits with 1 if a job failed.

    Raises:
        GalgenError: if a process that starts jobs was killed, or a job told to leave.
    """
    if not MULTIRUN.intersection(sys.argv[1:]):
        yield
        return
    from joblib.externals.loky import process_executor

    process_executor.kill_process_tree = kill_alone
    for name in ("hydra", "hydra_plugins"):
        logging.getLogger(name).setLevel(logging.WARNING)
    folder, console = new_folder(), Console(soft_wrap=True)
    try:
        with preemptible(before=lambda: stop_jobs(folder)), _shown(folder, console):
            try:
                yield
                train_stacks(folder)
            except BaseException:  # jobs outlive the processes that started them
                stop_jobs(folder)
                raise
    except SystemExit as stop:  # of a job that was told to leave
        if stop.code != Preempted.exit_code:
            raise
        raise Preempted("stopped by a signal; the same command goes on from here") from None
    except process_executor.TerminatedWorkerError as error:
        raise GalgenError(
            "a process that starts jobs was killed, and the sweep with it; the same command goes on"
        ) from error
    finally:
        records = read_records(folder)
        _conclude(records, console)
    if any(record.state == "failed" for record in records):
        sys.exit(1)


def _conclude(records: list[Record], console: Console) -> None:
    for record in filter(_here, records):
        if record.state in ("running", "waiting"):  # and what started it could not say how it ended
            record.state = "cut"
    console.print(Group(summary(records), table(records, every=True)))
    for record in records:
        if record.state == "failed":
            changed = " ".join(record.overrides)
            print(f"galgen: job {record.number} failed: {record.reason} ({changed})")


def summary(records: list[Record]) -> str:
    """Count the jobs by state, and name the best."""
    counts = {state: sum(r.state == state for r in records) for state in STYLES}
    skipped = sum(record.skipped for record in records)
    said = [f"{n} {state}" for state, n in counts.items() if n] + [f"{skipped} of them before"] * (
        skipped > 0
    )
    known = [r for r in records if r.state == "done" and r.best == r.best]
    best = min(known, key=lambda record: record.best, default=None)
    end = f"; best so far {best.best:.4g} in {best.run}" if best else ""
    return f"sweep: {', '.join(said) or 'no job has begun'}{end}"


def table(records: list[Record], every: bool = False) -> Table:
    """Tabulate jobs: those that are running or in trouble, or all."""
    shown = Table("job", "run", "state", "epoch", "loss", box=None)
    for record in records:
        if every or record.state != "done":
            shown.add_row(*_row(record), style=STYLES[record.state])
    return shown


def _row(record: Record) -> list[str]:
    name = Path(record.run).name or " ".join(record.overrides)
    try:
        rows = read_metrics(Path(record.run)) if record.run else []
    except GalgenError:
        rows = []
    losses = [row[LOSS] for row in rows if LOSS in row]
    epoch = f"{rows[-1]['epoch']:.0f}" if rows else ""
    best = f"{min(losses):.4g}" if losses else ""
    state = "done before" if record.skipped else record.state
    return [str(record.number), name, state, epoch, best]


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
        for record in read_records(folder):
            if seen.get(record.number) != record.state:
                seen[record.number] = record.state
                print(" ".join(["sweep: job", *filter(None, _row(record))]), flush=True)
        if last:
            return


def kill_alone(process) -> None:
    """Kill a process that starts jobs, as joblib does, but not the job: it is told, and leaves."""
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


def _here(record: Record) -> bool:
    return record.host == platform.node()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        # A job that has ended is still there until what started it, if it can, asks how it ended.
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
