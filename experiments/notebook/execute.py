"""Execute tour.ipynb on a run, and keep its outputs."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

TOUR = Path(__file__).with_name("tour.ipynb")


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Execute a notebook in a folder, in place; what it holds then does not tell when or where."""
    client = NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["GALGEN_RUN"] = str(Path(sys.argv[1]).absolute())
    tour = nbformat.read(TOUR, as_version=4)
    execute(tour, TOUR.parent)
    nbformat.write(tour, TOUR)
