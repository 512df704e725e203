"""Catalogues that were interrupted, damaged or short of disk are resumed to the same bytes."""

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import galgen
from galgen.catalogues import shards
from galgen.catalogues.rows import Catalogue
from galgen.catalogues.shards import Shards
from tests import processes
from tests.catalogues.conftest import ENDINGS, digest, read


@contextmanager
def cut(at: int, error: BaseException):
    """Let an error end the generating before a row; give the rows that blocks begin with."""
    block, made = Catalogue.block, []

    def failing(self, first, stop):
        if first == at:
            raise error
        made.append(first)
        return block(self, first, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalogue, "block", failing)
        yield made


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("cut_at", [16, 48])
def test_an_interrupted_catalogue_goes_on_to_the_same_bytes(
    generate, command, trained, monkeypatch, ending, cut_at
):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    generate(f"whole{ending}", "n=60")
    arguments = [f"run={trained}", f"out=cut{ending}", "redshift=0.5:2.5", "n=60", "batch_size=16"]
    with cut(cut_at, KeyboardInterrupt()) as before:
        code, printed = command("generate", *arguments)
    assert (code, "continues from here" in printed) == (130, True)
    assert not Path(f"cut{ending}").exists()
    with cut(60, KeyboardInterrupt()) as after:  # which is never reached
        code, printed = command("generate", *arguments)
    assert (code, f"resuming from galaxy {cut_at}" in printed) == (0, True)
    assert before + after == [0, 16, 32, 48]
    assert digest(Path(f"cut{ending}")) == digest(Path(f"whole{ending}"))


def test_the_beginning_of_another_catalogue_is_not_gone_on_with(
    generate, command, trained, monkeypatch
):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    arguments = [f"run={trained}", "out=cut.h5", "redshift=0.5:2.5", "n=60", "batch_size=16"]
    with cut(32, OSError(28, "No space left on device")):
        code, printed = command("generate", *arguments)
    assert (code, "the disk is full" in printed) == (1, True)
    code, printed = command("generate", *arguments, "seed=1")
    assert (code, "holds another catalogue and is deleted" in printed) == (0, True)
    expected = generate("other.h5", "n=60", "seed=1")
    np.testing.assert_array_equal(read(Path("cut.h5"))["image"], expected["image"])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("damage", ["truncated", "empty", "deleted", "garbage", "of other rows"])
def test_a_damaged_shard_is_made_again(generate, command, trained, monkeypatch, ending, damage):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    generate(f"whole{ending}", "n=60")
    arguments = [f"run={trained}", f"out=cut{ending}", "redshift=0.5:2.5", "n=60", "batch_size=16"]
    with cut(48, OSError("pulled the plug")):
        assert command("generate", *arguments)[0] == 1
    shard = Path(f"cut{ending}.unfinished/00001.npy")
    if damage == "truncated":
        os.truncate(shard, shard.stat().st_size // 2)
    elif damage == "empty":
        os.truncate(shard, 0)
    elif damage == "deleted":
        shard.unlink()
    elif damage == "garbage":
        shard.write_text("no array")
    else:
        np.save(shard, np.load(shard)[:8])
    with cut(60, KeyboardInterrupt()) as made:  # which is never reached
        assert command("generate", *arguments)[0] == 0
    assert made == [16, 48]
    assert digest(Path(f"cut{ending}")) == digest(Path(f"whole{ending}"))


def test_a_note_that_is_garbage_begins_anew(generate, command, trained, monkeypatch):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    generate("whole.h5", "n=60")
    arguments = [f"run={trained}", "out=cut.h5", "redshift=0.5:2.5", "n=60", "batch_size=16"]
    with cut(48, OSError("pulled the plug")):
        assert command("generate", *arguments)[0] == 1
    Path("cut.h5.unfinished/identity.json").write_text('{"n": "many"')
    with cut(60, KeyboardInterrupt()) as made:
        assert command("generate", *arguments)[0] == 0
    assert made == [0, 16, 32, 48]
    assert digest(Path("cut.h5")) == digest(Path("whole.h5"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_there_stays_until_the_new_catalogue_is_complete(
    generate, command, trained, monkeypatch, ending
):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    generate(f"whole{ending}", "n=60")
    generate(f"cut{ending}", "n=5")
    before, read_shards = digest(Path(f"cut{ending}")), Shards.read

    def interrupted(self):
        for first, shard in read_shards(self):
            if first == 32:
                raise KeyboardInterrupt
            yield first, shard

    arguments = [f"run={trained}", f"out=cut{ending}", "redshift=0.5:2.5", "n=60", "overwrite=true"]
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "read", interrupted)
        assert command("generate", *arguments)[0] == 130
    assert digest(Path(f"cut{ending}")) == before
    assert not list(Path().rglob("*.part"))
    with cut(60, KeyboardInterrupt()) as made:
        assert command("generate", *arguments)[0] == 0
    assert made == []
    assert digest(Path(f"cut{ending}")) == digest(Path(f"whole{ending}"))


@pytest.mark.parametrize("ending", [".fits", ".h5"])
@pytest.mark.parametrize("limit", [50_000, 100_000])  # less than a shard, less than the catalogue
def test_a_limit_on_files_is_a_sentence_and_costs_no_galaxy(
    generate, command, trained, monkeypatch, ending, limit
):
    monkeypatch.setattr("galgen.catalogues.shards.SHARD_BYTES", 32 * 32 * 4 * 16)
    generate(f"whole{ending}", "n=60")
    arguments = [f"run={trained}", f"out=cut{ending}", "redshift=0.5:2.5", "n=60"]
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, kept[1]))
    try:
        code, printed = command("generate", *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert (code, "(ulimit -f) while writing" in printed) == (1, True), printed
    assert "Traceback" not in printed
    assert not list(Path().rglob("*.part"))
    assert not Path(f"cut{ending}").exists()
    assert Path(f"cut{ending}.unfinished").exists() == (limit == 100_000)
    with cut(60, KeyboardInterrupt()) as made:
        assert command("generate", *arguments)[0] == 0
    assert made == ([] if limit == 100_000 else [0, 16, 32, 48])
    assert digest(Path(f"cut{ending}")) == digest(Path(f"whole{ending}"))


def test_too_little_room_is_told_before_a_galaxy_is_made(command, trained, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10**6))
    with cut(0, AssertionError()):
        code, printed = command("generate", f"run={trained}", "out=m.h5", "redshift=1", "n=200")
    assert code == 1
    assert "out=m.h5: its galaxies take about 0.00165 GB, and the disk has 0.001 GB" in printed
    assert list(Path().iterdir()) == []


def killed_once() -> None:
    """Have this process killed at galaxy 32 of its catalogue, but not a second one."""
    shards.SHARD_BYTES, block = 32 * 32 * 4 * 16, Catalogue.block

    def killed(self, first, stop):
        if first == 32 and not Path("again").exists():
            Path("again").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block(self, first, stop)

    Catalogue.block = killed


def test_a_killed_catalogue_is_absent_until_it_is_gone_on_with(trained):
    words = [f"run={trained}", "n=60", "redshift=1", "out=m.fits", "batch_size=16"]
    assert processes.run("generate", words, killed_once)[0] == -signal.SIGKILL
    assert not Path("m.fits").exists()
    code, printed = processes.run("generate", words, killed_once)
    assert code == 0, printed
    assert "resuming from galaxy 32" in printed
    images = galgen.load(trained).sample(60, 1.0)
    np.testing.assert_array_equal(read(Path("m.fits"))["image"], images)
