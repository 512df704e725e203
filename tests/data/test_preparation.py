"""Preparation: shards, what is kept after a break, and what several at once do."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from galgen.data import stamp_writing
from galgen.data.preparation import _completed, prepare
from galgen.data.stamp_file import StampFile
from galgen.data.surveys.source import Source
from galgen.errors import GalgenError

append = stamp_writing._append
NOTHING = (
    r"^data.file=s.h5: none of the 12 galaxies has a stamp: no pixels \(12\). "
    r"s.h5.left_out.csv lists them. Give other files.$"
)
SCRIPT = """
    import os, sys
    from pathlib import Path
    from galgen.data.preparation import prepare
    from tests.data.test_preparation import Numbers

    if __name__ == "__main__":
        print(prepare(Numbers(processes=1, **{arguments}), Path("s.h5")))
"""


class Numbers(Source):
    """Twelve candidates: stamps that hold their own number; number 5 has none."""

    def __init__(
        self, recipe="numbers", fail_at=None, wait_at=None, bad=(5,), killed=False, signals=(),
        **arguments,
    ):  # fmt: skip
        super().__init__(**{"shards": 4, **arguments})
        self.recipe, self.fail_at, self.wait_at = recipe, fail_at, wait_at
        self.bad, self.killed, self.signals = bad, killed, signals

    def __len__(self):
        return 12

    def start_worker(self):
        if self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.signals:
            stamp_writing._append = partial(signal_while_writing, self.signals)

    def attrs(self):
        return {"survey": "numbers", "recipe": self.recipe}

    def draw(self, numbers):
        with open("drawn.txt", "a") as file:
            file.write("".join(f"{number}\n" for number in numbers))
        if self.fail_at in numbers:
            raise GalgenError("failed")
        if self.wait_at in numbers:
            Path("waiting.part").write_text(str(os.getpid()))
            os.replace("waiting.part", "waiting")
            signal.pause()
        good = np.array([number for number in numbers if number not in self.bad])
        image = np.ones((len(good), 4, 4), "f4") * good[:, None, None]
        left_out = {f"galaxy {number}": "no pixels" for number in numbers if number in self.bad}
        return {"image": image, "galaxy_id": good.astype("i8")}, left_out


def signal_while_writing(signals: dict[str, int], file, name: str, block: np.ndarray) -> None:
    """Write stamps into a shard and, if they hold number 7, send signals to worker and parent."""
    append(file, name, block)
    file.flush()
    if name == "image" and 7 in block:
        for process, number in signals.items():
            os.kill({"worker": os.getpid(), "parent": os.getppid()}[process], number)
        if "parent" in signals:
            signal.pause()  # until the parent ends this process


def drawn() -> list[int]:
    return sorted(int(line) for line in Path("drawn.txt").read_text().split())


def check_complete(path=Path("s.h5")):
    stamps = StampFile(path)
    expected = np.delete(np.arange(12), 5)
    np.testing.assert_array_equal(stamps.columns["galaxy_id"], expected)
    np.testing.assert_array_equal(stamps.read(slice(0, 11), 4)[:, 0, 0, 0], expected)
    assert Path("s.h5.left_out.csv").read_text() == "galaxy,reason\ngalaxy 5,no pixels\n"
    assert not list(Path("s.h5.shards").glob("*.part")) + list(Path("s.h5.shards").glob("*.lock"))


def test_all_at_once():
    source = Numbers(processes=2)
    assert prepare(source, Path("s.h5"))
    check_complete()
    assert source.notes == ["1 left out: no pixels", "they are listed in s.h5.left_out.csv"]
    assert prepare(Numbers(), Path("s.h5"))
    assert drawn() == list(range(12))


def test_shard_by_shard():
    for shard in (2, 0, 3):
        assert not prepare(Numbers(shard=shard, processes=1), Path("s.h5"))
        assert not Path("s.h5").exists()
    assert prepare(Numbers(shard=1, processes=1), Path("s.h5"))
    check_complete()


def test_more_shards_than_galaxies():
    assert prepare(Numbers(shards=64, processes=1), Path("s.h5"))
    check_complete()
    assert prepare(Numbers(shards=64, shard=0, processes=1), Path("s.h5"))


def test_finished_shards_are_kept_after_a_failure():
    with pytest.raises(GalgenError, match="failed"):
        prepare(Numbers(fail_at=7, processes=1), Path("s.h5"))
    assert not Path("s.h5").exists()
    assert not list(Path("s.h5.shards").glob("*.part"))
    finished = {path.name for path in Path("s.h5.shards").glob("*.h5")}
    assert finished >= {"00000.h5", "00001.h5"}
    Path("drawn.txt").unlink()
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert 0 not in drawn()
    check_complete()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_preparation_goes_on(stop):
    script = textwrap.dedent(SCRIPT.replace("{arguments}", "dict(wait_at=7)"))
    root = Path(__file__).resolve().parents[2]
    Path("script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, "script.py"], env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while not Path("waiting").exists():
        assert process.poll() is None
        os.sched_yield()
    worker = int(Path("waiting").read_text())
    process.send_signal(stop)
    assert process.wait() != 0
    while Path(f"/proc/{worker}").exists():
        os.sched_yield()
    Path("drawn.txt").unlink()
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert drawn() == list(range(6, 12))
    check_complete()


def remains() -> set[str]:
    """List the files that a preparation which ended early has left."""
    return {path.name for path in Path().rglob("*") if path.is_file()} - {"drawn.txt"}


KEPT = {"lock", "recipe.txt", "00000.h5", "00001.h5"}
"""What is left of a preparation that ends in its third shard; whole files, each of them."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_worker_that_is_ended_while_it_writes_leaves_no_part(number):
    ended = pytest.raises(GalgenError, match=r"was killed.*same command resumes")
    if number == signal.SIGINT:  # which is for the parent to hear
        assert prepare(Numbers(processes=1, signals={"worker": number}), Path("s.h5"))
    else:
        with ended:
            prepare(Numbers(processes=1, signals={"worker": number}), Path("s.h5"))
        assert {name for name in remains() if not name.endswith(".h5.lock")} == KEPT
        Path("drawn.txt").unlink()
        assert prepare(Numbers(processes=1), Path("s.h5"))
        assert drawn() == list(range(6, 12))
    check_complete()


@pytest.mark.parametrize(
    "signals",
    [
        {"parent": int(signal.SIGTERM)},
        {"parent": int(signal.SIGINT)},
        {"worker": int(signal.SIGTERM), "parent": int(signal.SIGTERM)},
        {"parent": int(signal.SIGTERM), "worker": int(signal.SIGTERM)},
    ],
)
def test_a_parent_that_is_ended_while_a_worker_writes_leaves_no_part(signals):
    text = textwrap.dedent(SCRIPT.replace("{arguments}", f"dict(signals={signals})"))
    text = text.replace("    print(", "    with ended_in_order():\n        print(")
    Path("script.py").write_text("from galgen.config.command import ended_in_order\n" + text)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    ended = subprocess.run(
        [sys.executable, "script.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    if "worker" not in signals:
        assert "KeyboardInterrupt" in ended.stderr
    left = {name for name in remains() if not name.endswith(".h5.lock")}
    assert left == KEPT | {"script.py"}
    Path("drawn.txt").unlink()
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert drawn() == list(range(6, 12))
    check_complete()


def test_a_signal_that_another_thread_takes_ends_the_wait():
    """The system may give a signal to any thread, but only the main one can act on it."""
    shard = Future()

    def take_signal():
        while not shard._waiters:  # until the main thread waits
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    other = threading.Thread(target=take_signal)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        list(_completed([shard]))
    other.join()


def test_what_a_killed_preparation_of_another_division_was_writing_goes():
    Path("s.h5.shards").mkdir()
    Path("s.h5.shards/00031.h5.part").write_text("half a shard")
    assert prepare(Numbers(processes=1), Path("s.h5"))
    check_complete()


def test_two_at_once_share_the_work():
    script = textwrap.dedent(SCRIPT.replace("{arguments}", "{}"))
    root = Path(__file__).resolve().parents[2]
    Path("script.py").write_text(script)
    pair = [
        subprocess.Popen(
            [sys.executable, "script.py"], env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [process.communicate()[0].splitlines()[-1] for process in pair] == ["True", "True"]
    check_complete()
    assert drawn() == list(range(12))


def test_a_killed_process_is_a_sentence():
    with pytest.raises(GalgenError, match=r"was killed.*same command resumes"):
        prepare(Numbers(processes=1, killed=True), Path("s.h5"))


def test_another_recipe_is_refused_unless_it_may_be_replaced():
    prepare(Numbers(processes=1), Path("s.h5"))
    with pytest.raises(GalgenError, match="overwrite=true"):
        prepare(Numbers(recipe="other"), Path("s.h5"))
    check_complete()
    assert prepare(Numbers(recipe="other", processes=1), Path("s.h5"), overwrite=True)
    with h5py.File("s.h5.shards/00000.h5") as shard:
        assert shard.attrs["recipe"] == "other"


def test_a_foreign_file_is_never_replaced_unasked():
    Path("s.h5").write_text("precious")
    with pytest.raises(GalgenError, match="not a stamp file prepared by galgen"):
        prepare(Numbers(), Path("s.h5"))
    assert Path("s.h5").read_text() == "precious"


@pytest.mark.parametrize("damage", ["missing", "truncated", "of other candidates"])
def test_a_bad_shard_is_drawn_again(damage):
    prepare(Numbers(processes=1), Path("s.h5"))
    shard = Path("s.h5.shards/00002.h5")
    if damage == "missing":
        shard.unlink()
    elif damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:1000])
    else:
        shard.write_bytes(Path("s.h5.shards/00001.h5").read_bytes())
    Path("drawn.txt").unlink()
    assert prepare(Numbers(processes=1), Path("s.h5"))
    assert drawn() == [6, 7, 8]
    check_complete()


def test_no_stamp_at_all_is_told():
    with pytest.raises(GalgenError, match=NOTHING):
        prepare(Numbers(bad=range(12), processes=1), Path("s.h5"))
    assert not Path("s.h5").exists()
    assert prepare(Numbers(recipe="mended", processes=1), Path("s.h5"))  # no overwrite=true needed
    check_complete()


def test_a_disk_that_is_too_small_is_told_before_anything_is_written():
    class Huge(Numbers):
        def stamp_bytes(self):
            return 10**18

    with pytest.raises(GalgenError, match="the disk has"):
        prepare(Huge(), Path("new/s.h5"))
    assert not list(Path().iterdir())


def test_a_joined_file_is_finished_however_it_was_divided():
    prepare(Numbers(processes=1), Path("s.h5"))
    assert prepare(Numbers(processes=1, shards=7), Path("s.h5"))
    assert drawn() == list(range(12))
    Path("s.h5.shards/00001.h5").unlink()
    assert prepare(Numbers(processes=1, shards=2), Path("s.h5"))
    check_complete()
    assert len(list(Path("s.h5.shards").glob("*.h5"))) == 2


def test_unfinished_shards_of_another_recipe_are_not_mixed_in():
    assert not prepare(Numbers(shard=0, processes=1), Path("s.h5"))
    with pytest.raises(GalgenError, match="unfinished"):
        prepare(Numbers(recipe="other", processes=1), Path("s.h5"))
    assert prepare(Numbers(recipe="other", processes=1), Path("s.h5"), overwrite=True)
    check_complete()


def test_a_shard_that_was_replaced_is_told():
    prepare(Numbers(processes=1), Path("s.h5"))
    shard = Path("s.h5.shards/00003.h5")
    shard.write_bytes(Path("s.h5.shards/00002.h5").read_bytes())
    with pytest.raises(GalgenError, match=r"00003\.h5: this is not the shard that"):
        StampFile("s.h5")


def test_the_list_of_what_was_left_out_goes_with_it():
    prepare(Numbers(processes=1), Path("s.h5"))
    prepare(Numbers(recipe="better", bad=(), processes=1), Path("s.h5"), overwrite=True)
    assert not Path("s.h5.left_out.csv").exists()


def test_a_folder_is_no_stamp_file():
    Path("s.h5").mkdir()
    with pytest.raises(GalgenError, match="is a folder"):
        prepare(Numbers(), Path("s.h5"), overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shards": 0}, r"prepare\.shards=0"),
        ({"shard": 4}, r"prepare\.shard=4: there are shards 0 to 3"),
        ({"shard": -1}, r"prepare\.shard=-1"),
        ({"processes": 0}, r"prepare\.processes=0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Numbers(**arguments)
