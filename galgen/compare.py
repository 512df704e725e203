"""`python -m galgen.compare`: runs side by side, as a table and as rate against distortion."""

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from galgen.config.command import command
from galgen.errors import GalgenError
from galgen.files import DISK_FULL, write_text
from galgen.reports import side_by_side
from galgen.reports.comparison import compare, panels, read_runs
from galgen.runs.reading import find_runs


@command("compare", resumes=False, words="run")
def main(config: DictConfig) -> None:
    """Print the table, write it and the figure, and print their paths."""
    sources = config.run if isinstance(config.run, ListConfig) else [config.run]
    directories = find_runs([Path(str(source)).expanduser() for source in sources])
    compared, notes = read_runs(directories)
    comparison = compare(compared)
    comparison.notes += notes
    folder = Path(str(config.out)).expanduser()
    texts = {
        "comparison.csv": side_by_side.as_csv(comparison),
        "comparison.md": side_by_side.as_markdown(comparison),
    }
    there = [folder / name for name in texts if (folder / name).exists()]
    if there and not config.overwrite:
        raise GalgenError(f"{there[0]} exists. Give overwrite=true to replace it, or out=<folder>.")
    try:
        paths = write(texts, panels(compared), folder)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise GalgenError(
            f"{folder}: the comparison cannot be written, {error.strerror}. Give out=<folder>."
        ) from error
    side_by_side.show(comparison)
    for path in paths:
        print(path)


def write(texts: dict[str, str], groups: list[dict], folder: Path) -> list[Path]:
    """Write texts, and the figure where there is something to draw.

    Args:
        texts: by the name of the file.
        groups: panels of the figure.
        folder: where the files go; it is made.

    Returns:
        The files.
    """
    from galgen.figures.rate_distortion import draw_rate_distortion  # matplotlib, after the runs
    from galgen.figures.saving import save_all

    figures = {"rate_distortion": draw_rate_distortion(groups)} if groups else {}
    for name, content in texts.items():
        write_text(folder / name, content)
    return [*(folder / name for name in texts), *save_all(figures, folder)]


if __name__ == "__main__":
    main()
