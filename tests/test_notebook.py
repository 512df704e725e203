import os
import re
from pathlib import Path

import nbformat
import pytest

from experiments.notebook.execute import FIRST, TOUR, execute
from galgen.runs.reading import read_facts
from tests.conftest import SIZE, only_run


@pytest.fixture
def tour():
    return nbformat.read(TOUR, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell) -> list[str]:
    shown = [output.data for output in cell.outputs if output.output_type != "stream"]
    return [kind for data in shown for kind in sorted(data)]


def texts(cell) -> list[str]:
    return [output.data["text/plain"] for output in cell.outputs if output.output_type != "stream"]


def test_it_shows_a_run(tour, small, command, tmp_path, monkeypatch):
    assert command("train", *small)[0] == 0
    directory = only_run()
    monkeypatch.setenv("GALGEN_RUN", str(directory.absolute()))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    committed = [kinds(cell) for cell in code(tour)]
    execute(tour, tmp_path)
    assert [kinds(cell) for cell in code(tour)] == committed
    *_, generated, posterior, shape, errors = code(tour)
    assert texts(generated) == [f"((16, 1, {SIZE}, {SIZE}), dtype('float32'))"]
    assert texts(posterior) == ["Normal(loc: torch.Size([8, 3]), scale: torch.Size([8, 3]))"]
    assert texts(shape) == [f"(8, 1, {SIZE}, {SIZE})"]
    reconstruction, zero = map(float, re.findall(r"[\d.]+", texts(errors)[0]))
    baseline = read_facts(directory)["squared_error_of_zero"]["val"]  # of all 8 galaxies
    assert zero == pytest.approx(baseline, abs=0.006)
    assert 0 < reconstruction < float("inf")


def test_it_takes_the_newest_finished_run(tour, tmp_path, monkeypatch):
    monkeypatch.delenv("GALGEN_RUN", raising=False)
    for age, name in enumerate(["new/a", "old", "cut"]):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        if name != "cut":
            (folder / "DONE").touch()
            os.utime(folder / "DONE", (1000 - age, 1000 - age))
    here = tmp_path / "experiments" / "notebook"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    source = next(cell.source for cell in code(tour) if "GALGEN_RUN" in cell.source)
    names = {"os": os, "Path": Path}
    exec(source.split("run = ")[0], names)
    assert names["directory"].resolve() == tmp_path / "runs" / "new" / "a"


def test_what_is_committed_was_executed_and_tells_not_where(tour):
    cells = code(tour)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in kinds(cell) for cell in cells) == 7
    assert all("execution" not in cell.metadata for cell in tour.cells)
    assert TOUR.stat().st_size < 700_000
    for cell in cells:
        for output in cell.outputs:
            output.get("data", {}).pop("image/png", None)
        assert not re.search(r"(?<![\w.])/\w+/|Warning|\d %", str(cell.outputs)), cell.source


def test_the_first_notebook_needs_nothing_but_galgen(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(FIRST, as_version=4)
    committed = [kinds(cell) for cell in code(notebook)]
    before = texts(code(notebook)[1])
    execute(notebook, tmp_path)
    assert [kinds(cell) for cell in code(notebook)] == committed
    assert sum("image/png" in kinds for kinds in committed) == 4
    assert texts(code(notebook)[1]) == before
    median = float(re.search(r"'(2\d.\d+)'", before[0])[1])
    assert abs(median - 23.5) < 0.2
    assert FIRST.stat().st_size < 700_000
