"""Files that the system refuses, paths as users write them, and outputs that exist."""

import builtins
import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import pytest
from matplotlib.figure import Figure

from galgen.config.explanations import explain
from galgen.data.preparation import prepare
from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import write_stamps
from galgen.data.surveys.simulated.simulated_data_module import SimulatedDataModule
from galgen.errors import DamagedCheckpoint, GalgenError, Unreadable
from galgen.files import reading, reason, write_text
from galgen.models.checkpoints import read_checkpoint
from galgen.runs.directory import Run
from galgen.runs.metrics import read_metrics
from galgen.runs.reading import read_facts
from galgen.runs.run_config import read_config
from tests import processes
from tests.conftest import discs
from tests.data.test_preparation import Numbers, drawn

REFUSALS = [
    (errno.EAGAIN, "in use by another program"),
    (errno.EACCES, "permission denied"),
    (errno.EPERM, "permission denied"),
    (errno.ESTALE, "stale file handle"),
    (errno.EIO, "input/output error"),
    (errno.EMFILE, "ulimit -n"),
    (errno.EROFS, "read-only"),
    (errno.ENOMEM, "not enough memory"),
]


@pytest.mark.parametrize(("number", "words"), REFUSALS)
def test_each_refusal_has_its_own_sentence(number, words):
    assert words in reason(OSError(number, os.strerror(number)))
    assert words in reason(OSError(f"Can't read data (file read failed: errno = {number}, ...)"))
    assert words in explain(OSError(number, os.strerror(number), "s.h5"))
    with pytest.raises(Unreadable, match=rf"^s\.h5: .*{words}.*\.$"), reading(Path("s.h5")):
        raise OSError(number, os.strerror(number))


def test_damage_and_absence_are_no_refusals():
    Path("text.h5").write_text("precious")
    write_stamps(Path("s.h5"), [{"image": discs(4)}], {})
    Path("cut.h5").write_bytes(Path("s.h5").read_bytes()[:2000])
    for name in ("text.h5", "cut.h5", "gone.h5"):
        with pytest.raises(OSError, match="open file") as error:
            h5py.File(name)
        assert reason(error.value) is None
    with pytest.raises(GalgenError, match="damaged, truncated or of another format"):
        StampFile("cut.h5")


@pytest.fixture
def refusing(monkeypatch):
    """Return a function that makes the system refuse to open a file of a name."""

    def refuse(name: str, number: int) -> None:
        def refused(original):
            def wrapper(path, *args, **kwargs):
                if Path(str(path)).name == name:
                    raise OSError(number, os.strerror(number), str(path))
                return original(path, *args, **kwargs)

            return wrapper

        monkeypatch.setattr(builtins, "open", refused(builtins.open))
        monkeypatch.setattr(pathlib.io, "open", refused(pathlib.io.open))
        monkeypatch.setattr(h5py, "File", refused(h5py.File))

    return refuse


@pytest.mark.parametrize(("number", "words"), REFUSALS)
def test_no_reader_takes_a_refusal_for_damage(refusing, composed, number, words):
    write_stamps(Path("s.h5"), [{"image": discs(4)}], {})
    run = Run(composed("run_name=r"))
    for name in ("DONE", "data.json", "config.yaml", "metrics.csv", "best.ckpt"):
        write_text(run.directory / name, "{}")
    readers = {
        "s.h5": lambda: StampFile("s.h5"),
        "DONE": lambda: run.result,
        "data.json": lambda: read_facts(run.directory),
        "config.yaml": lambda: read_config(run.directory),
        "metrics.csv": lambda: read_metrics(run.directory),
        "best.ckpt": lambda: read_checkpoint(run.directory / "best.ckpt"),
    }
    for name, read in readers.items():
        refusing(name, number)
        with pytest.raises(Unreadable, match=words):
            read()


def test_a_damaged_checkpoint_is_still_damaged():
    Path("x.ckpt").write_bytes(b"PK not really")
    with pytest.raises(DamagedCheckpoint, match="damaged"):
        read_checkpoint(Path("x.ckpt"))


@contextmanager
def open_elsewhere(path):
    """Lock a file as HDF5 does in a program that has it open for writing."""
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("name", ["s.h5", "s.h5.shards/00002.h5"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_another_program_has_open_is_neither_replaced_nor_redrawn(name, overwrite):
    prepare(Numbers(processes=1), Path("s.h5"))
    content = Path(name).read_bytes()
    with (
        open_elsewhere(name),
        pytest.raises(Unreadable, match=f"{name}: it is in use by another program"),
    ):
        prepare(Numbers(processes=1), Path("s.h5"), overwrite)
    assert Path("s.h5").exists()
    assert len(Path(name).read_bytes()) == len(content)
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert drawn() == list(range(12))


@pytest.mark.parametrize("name", ["s.h5", "s.h5.shards/00002.h5"])
def test_another_recipe_replaces_nothing_while_a_part_is_open(name):
    prepare(Numbers(processes=1), Path("s.h5"))
    with open_elsewhere(name), pytest.raises(Unreadable, match="in use by another program"):
        prepare(Numbers(processes=1, recipe="other"), Path("s.h5"), overwrite=True)
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert drawn() == list(range(12))


def test_a_file_whose_writer_was_killed_is_not_only_called_in_use():
    prepare(Numbers(processes=1), Path("s.h5"))
    program = "import os, h5py; file = h5py.File('s.h5', 'a'); os._exit(0)"
    subprocess.run([sys.executable, "-c", program], check=True)
    for read in (lambda: StampFile("s.h5"), lambda: prepare(Numbers(), Path("s.h5"))):
        with pytest.raises(Unreadable, match=r"was killed while it had.*delete the file"):
            read()
    Path("s.h5").unlink()
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert drawn() == list(range(12))


def test_a_simulated_survey_in_the_cache_is_kept_while_it_is_open(composed):
    survey = SimulatedDataModule(
        name="simulated", image_size=16, transform=lambda batch: batch, galaxies=3, processes=1
    )
    survey.prepare_data()
    before = survey.file.stat().st_ino
    with open_elsewhere(survey.file), pytest.raises(Unreadable, match="in use"):
        survey.prepare_data()
    assert survey.file.stat().st_ino == before


def end_while_a_picture_is_saved(number: signal.Signals) -> None:
    """Have this process get a signal when it has written half a picture."""

    def savefig(self, part, **options):
        Path(part).write_text("half a picture")
        os.kill(os.getpid(), number)
        raise AssertionError("it goes on")

    Figure.savefig = savefig


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_ended_while_it_writes_leaves_no_part(number):
    write_stamps(Path("s.h5"), [{"image": discs(4)}], {})
    first = partial(end_while_a_picture_is_saved, number)
    code, printed = processes.run("describe", ["data.file=s.h5"], first)
    assert (code, "galgen: interrupted" in printed) == (130, True), printed
    assert {path.name for path in Path().iterdir()} == {"s.h5", "printed"}


@pytest.mark.parametrize("target", ["there.txt", "not_yet.txt"])
def test_a_symbolic_link_stays_one(target):
    Path("there.txt").write_text("old")
    Path("link").symlink_to(target)
    write_text(Path("link"), "new")
    assert Path("link").is_symlink()
    assert Path(target).read_text() == "new"
    assert not list(Path().glob("*.part"))


def test_a_stamp_file_behind_a_link_has_its_shards_beside_it():
    Path("disk").mkdir()
    Path("s.h5").symlink_to("disk/s.h5")
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert Path("s.h5").is_symlink()
    assert len(StampFile("s.h5")) == 11
    assert Path("disk/s.h5.shards").is_dir()


def test_a_folder_is_not_written_over():
    Path("out").mkdir()
    with pytest.raises(GalgenError, match="this is a folder"):
        write_text(Path("out"), "new")


def test_a_list_of_somebody_else_is_not_replaced():
    Path("s.h5.left_out.csv").write_text("mine")
    with pytest.raises(GalgenError, match=r"left_out\.csv exists.*overwrite=true"):
        prepare(Numbers(processes=1), Path("s.h5"))
    assert Path("s.h5.left_out.csv").read_text() == "mine"
    assert prepare(Numbers(processes=1), Path("s.h5"), overwrite=True)


def test_the_size_is_checked_before_anything_is_drawn():
    source = Numbers(processes=1)
    source.stamp_bytes = lambda: 10**18
    with pytest.raises(GalgenError, match=r"take about 1.2e\+10 GB, and the disk has"):
        prepare(source, Path("s.h5"))
    assert not Path("drawn.txt").exists()


def test_pictures_are_not_replaced_unasked(command):
    write_stamps(Path("s.h5"), [{"image": discs(4)}], {})
    Path("s.stamps.png").write_text("mine")
    code, printed = command("describe", "data.file=s.h5")
    assert code == 1
    assert "s.stamps.png exists. Give overwrite=true" in printed
    assert Path("s.stamps.png").read_text() == "mine"
    assert command("describe", "data.file=s.h5", "overwrite=true")[0] == 0
