"""Execute first_galaxies.ipynb, or tour.ipynb on a run, and keep its outputs."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

TOUR = Path(__file__).with_name("tour.ipynb")
FIRST = Path(__file__).with_name("first_galaxies.ipynb")


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
    path = FIRST
    if len(sys.argv) > 1:
        path = TOUR
        os.environ["GALGEN_RUN"] = str(Path(sys.argv[1]).absolute())
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, path.parent)
    nbformat.write(notebook, path)
