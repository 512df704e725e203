"""`python -m galgen.generate`: a catalogue of generated galaxies, in constant memory."""

import sys
import time
from pathlib import Path

from omegaconf import DictConfig
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from galgen.config import command
from galgen.errors import GalgenError
from galgen.rules import check_prior, check_whole_numbers

ENDINGS = (".fits", ".h5", ".hdf5", ".zarr")


@command("generate", words="run")
def main(config: DictConfig) -> None:
    """Generate galaxies into a file and say where it is."""
    check(config)
    from galgen.catalogue.galaxies import Catalogue  # torch, after the config has been checked
    from galgen.trained import TrainedRun

    run = TrainedRun(config.run, config.device, config.data.file)
    learned = config.conditions == "learned"
    conditions = run.learned_conditions() if learned else None
    redshifts = None if learned else run.redshifts(config.redshift)
    numbers = (config.n, redshifts, config.seed, config.start)
    catalogue = Catalogue(run, *numbers, config.prior, conditions)
    out, started = Path(config.out).expanduser(), time.perf_counter()
    write(catalogue, out, config.batch_size)
    side, seconds = catalogue.size, time.perf_counter() - started
    print(f"{out}: {config.n} galaxies of {side} x {side} px from {run.name}, {seconds:.1f} s")


def check(config: DictConfig) -> None:
    """Check what needs no run.

    Raises:
        GalgenError: if a value is out of range, or the output exists.
    """
    check_whole_numbers(config, {"n": 1, "start": 0, "seed": 0, "batch_size": 1})
    if type(config.overwrite) is not bool:
        raise GalgenError(f"overwrite is {config.overwrite}, it must be true or false")
    check_prior(config.prior)
    if config.conditions not in (None, "learned"):
        raise GalgenError(f"conditions is {config.conditions!r}, it can be learned")
    if config.conditions and config.redshift is not None:
        raise GalgenError(
            f"conditions=learned draws the redshifts; leave redshift={config.redshift} out"
        )
    out = Path(str(config.out)).expanduser()
    if out.suffix not in ENDINGS:
        raise GalgenError(
            f"out={config.out}: its ending says the format, it can be one of {', '.join(ENDINGS)}"
        )
    if out.exists() and not config.overwrite:
        raise GalgenError(f"{out} is there already; give overwrite=true to replace it")
    if out.is_dir() and not (out / "zarr.json").is_file():
        raise GalgenError(f"{out} is a folder and no Zarr group, which is not replaced")


def write(catalogue, out: Path, batch_size: int) -> None:
    """Write a catalogue, or what is left of it, into `<out>.part`, then into its place.

    Args:
        catalogue: `galgen.catalogue.galaxies.Catalogue`.
        out: the file.
        batch_size: galaxies made at a time; rounded up to the model's own blocks.
    """
    from galgen.catalogue.formats import FORMATS
    from galgen.catalogue.partial import Partial

    block = catalogue.run.model.decoded_together
    together = -(-batch_size // block) * block
    identity = {**catalogue.identity(), "format": out.suffix}
    with Partial(out, identity).lock() as part, progress_bar() as bar:
        writer, first = FORMATS[out.suffix](part.folder, catalogue), part.done
        if first:
            print(f"going on from galaxy {catalogue.start + first}")
        task = bar.add_task("generating", total=catalogue.n, completed=first)
        while first < catalogue.n:
            number = catalogue.start + first  # blocks end where the model's own do
            stop = min(first + together - number % block, catalogue.n)
            part.remember(writer.write(first, *catalogue.block(first, stop)), writer.sync)
            bar.update(task, completed=stop)
            first = stop
        writer.close()
        part.finish(writer.path)


def progress_bar() -> Progress:
    """Make a bar that counts galaxies, where somebody looks at it."""
    columns = [*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()]
    return Progress(*columns, transient=True, disable=not sys.stdout.isatty())


if __name__ == "__main__":
    main()
