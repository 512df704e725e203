"""`python -m galgen.report`: one HTML file about a run, or about the runs of a sweep."""

import os
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from galgen.config.command import command
from galgen.config.run_paths import results_folder
from galgen.errors import GalgenError
from galgen.files import written_whole
from galgen.runs.reading import find_runs


@command("report", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Write the page and print its path."""
    sources = list(config.run) if isinstance(config.run, ListConfig) else [config.run]
    folders = [Path(str(source)).expanduser() for source in sources]
    directories = find_runs(folders)
    out = out_file(config.out, folders)
    from galgen.reports.page import (  # torch, after the check
        run_page,
        sweep_page,
    )

    arguments = {"device": config.device, "data_file": config.data.file}
    arguments |= {"seed": config.seed, "zoom": config.zoom, "bands": config.bands}
    if directories == folders and len(folders) == 1:
        text = run_page(folders[0], **arguments)
    else:
        title = ", ".join(folder.resolve().name for folder in folders)
        text = sweep_page(title, directories, **arguments)
    with written_whole(out) as part:
        part.write_text(text, encoding="utf-8")
    print(f"{out}: {len(directories)} run(s), {out.stat().st_size / 1e6:.1f} MB")


def out_file(out: str | None, folders: list[Path]) -> Path:
    """Return where the page goes, and make its folder.

    Raises:
        GalgenError: if it is not said, or nothing can be written there.
    """
    if not out and len(folders) > 1:
        raise GalgenError("out: a page about several runs needs a file. Give out=<file>.html.")
    path = Path(str(out)).expanduser() if out else results_folder(folders[0]) / "report.html"
    if path.is_dir():
        raise GalgenError(f"{path} is a folder. Give out=<file>.html.")
    reason = "the folder is not writable"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK)
    except OSError as error:
        reason, writable = error.strerror, False
    if not writable:
        raise GalgenError(f"{path} cannot be written, {reason}. Give out=<file>.html.")
    return path


if __name__ == "__main__":
    main()
