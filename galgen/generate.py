"""`python -m galgen.generate`: a catalogue of generated galaxies, in constant memory."""

import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from galgen.config.command import command
from galgen.config.rules import check_whole_numbers
from galgen.data.edges import EDGES
from galgen.errors import GalgenError
from galgen.runs.conditions import read_conditions
from galgen.runs.prior_records import the_one_prior

REPORTED_EVERY = 10.0
"""Seconds between lines about the progress, without a terminal."""
ENDINGS = (".fits", ".h5", ".hdf5", ".zarr")


@command("generate", words="run")
def main(config: DictConfig) -> None:
    """Generate galaxies into a file and print its path."""
    check(config)
    from galgen.catalogues.observed import Telescope
    from galgen.catalogues.rows import Catalogue  # torch, after the config has been checked
    from galgen.runs.requested_conditions import learned_conditions, requested_conditions
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(config.run, config.device, config.data.file)
    learned = learned_conditions(run) if config.conditions == "learned" else None
    keys = config if learned is None else dict.fromkeys(learned.names, "learned")
    prior = run.prior_for(the_one_prior(config.prior), keys)
    conditions = requested_conditions(run, config, prior) if learned is None else None
    numbers = (config.seed, config.start)
    telescope = Telescope(run, config.psf, config.noise)
    catalogue = Catalogue(
        run, config.n, conditions, *numbers, prior, learned, config.edge, telescope
    )
    out, started = Path(config.out).expanduser(), time.perf_counter()
    side, gigabytes = catalogue.size, 4e-9 * config.n * catalogue.size**2
    print(
        f"{out}: {config.n} galaxies of {side} x {side} px from prior={prior}, {gigabytes:.2g} GB, "
        "and as much again until it is complete"
    )
    write(catalogue, out, config.batch_size)
    print(f"{out} is complete, {time.perf_counter() - started:.1f} s")


def check(config: DictConfig) -> None:
    """Check what needs no run.

    Raises:
        GalgenError: if a value is out of range, or the output exists.
    """
    check_whole_numbers(config, {"n": 1, "start": 0, "seed": 0, "batch_size": 1})
    the_one_prior(config.prior)
    if type(config.overwrite) is not bool:
        raise GalgenError(f"overwrite={config.overwrite}: it can be true or false.")
    if config.edge not in EDGES:
        raise GalgenError(f"edge={config.edge}: it can be {' or '.join(EDGES)}.")
    if config.conditions not in (None, "learned"):
        raise GalgenError(f"conditions={config.conditions}: it can be learned.")
    requested = read_conditions(config)
    if config.conditions and requested:
        first = next(iter(requested.values()))
        raise GalgenError(
            f"conditions=learned draws redshift, magnitude and size together. Leave "
            f"{first.name}={first.text} out, or leave conditions=learned out."
        )
    out = Path(str(config.out)).expanduser()
    if out.suffix not in ENDINGS:
        raise GalgenError(
            f"out={config.out}: its ending sets the format and can be one of {', '.join(ENDINGS)}."
        )
    if out.suffix == ".zarr":
        import_module("zarr")  # of an extra; better missing now than at the end
    if out.exists() and not config.overwrite:
        raise GalgenError(f"out={out}: it exists. Give overwrite=true to replace it.")
    if out.is_dir() and not (out / "zarr.json").is_file():
        raise GalgenError(
            f"out={out}: this folder is not a Zarr group, so it is not replaced. Give another out."
        )


def write(catalogue, out: Path, batch_size: int) -> None:
    """Write a catalogue: its galaxies, or those that are missing, into shards, then all as one.

    Args:
        catalogue: `galgen.catalogues.rows.Catalogue`.
        out: the file.
        batch_size: galaxies made at a time; rounded up to the model's own blocks.
    """
    from galgen.catalogues.formats import FORMATS
    from galgen.catalogues.shards import Shards

    shards = Shards(out, catalogue)
    with shards.lock(), progress_bar() as bar:
        missing = shards.missing()
        done = catalogue.n - sum(map(len, missing))
        if done and missing:
            print(f"resuming from galaxy {catalogue.start + missing[0].start}")
        task, tell = bar.add_task("generating", total=catalogue.n, completed=done), lines(done)
        for rows in missing:
            shards.write(rows, blocks(catalogue, rows, batch_size))
            done += len(rows)
            bar.update(task, completed=done)
            tell(done, catalogue.n)
        FORMATS[out.suffix](out, catalogue, shards)


def blocks(catalogue, rows: range, batch_size: int) -> Iterator[tuple]:
    """Generate rows of a catalogue, a batch at a time; batches end where the model's blocks do."""
    from galgen.models.blocks import decode_block

    block = decode_block(catalogue.run.model.device)
    together, first = -(-batch_size // block) * block, rows.start
    while first < rows.stop:
        number = catalogue.start + first
        stop = min(first + together - number % block, rows.stop)
        yield catalogue.block(first, stop)
        first = stop


def progress_bar() -> Progress:
    """Make a bar that counts galaxies, where somebody looks at it."""
    columns = [*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()]
    return Progress(*columns, transient=True, disable=not sys.stdout.isatty())


def lines(first: int) -> Callable[[int, int], None]:
    """Return a function that prints a line about the progress now and then, without a terminal.

    Args:
        first: galaxies that are written already.
    """
    started = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if sys.stdout.isatty() or done == total or now - told < REPORTED_EVERY:
            return
        told, left = now, (now - started) * (total - done) / (done - first)
        print(f"{done} of {total} galaxies, {left:.0f} s left", flush=True)

    return tell


if __name__ == "__main__":
    main()
