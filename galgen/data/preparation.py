"""Preparing a survey: shards of stamps drawn by parallel processes, joined by one stamp file."""

import csv
import io
import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from filelock import FileLock, Timeout
from rich.progress import track

from galgen.data.stamp_file import StampFile, read_left_out
from galgen.data.stamp_shards import shard_identity
from galgen.data.stamp_writing import join_stamps, write_stamps
from galgen.data.surveys.source import Source
from galgen.errors import GalgenError, Unreadable
from galgen.files import check_space, reading, uninterrupted, write_text

log = logging.getLogger(__name__)
_source: Source | None = None
"""Source of a process that draws stamps."""
BLOCK = 64
"""Stamps that a process holds at a time."""


def prepare(source: Source, path: Path, overwrite: bool = False) -> bool:
    """Write a survey's stamp file, or its missing shards.

    Finished shards are kept, so the same call resumes after an interruption. Several calls at once,
    on one machine or a cluster, share the work.

    Args:
        source: where the stamps come from.
        path: the stamp file; its shards lie in the folder path + `.shards`.
        overwrite: whether a stamp file of another recipe may be replaced.

    Returns:
        Whether the stamp file is complete; with `source.shard`, others may be missing.

    Raises:
        GalgenError: if the file holds another survey or is one of the source's files, or no galaxy
            has a stamp.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # the shards lie beside the file itself
    if path.is_dir():
        raise GalgenError(f"data.file={path}: this is a folder. Give the path of a file.")
    source.open()
    _spare_inputs(source, path)
    pieces = _pieces(source, path)
    if path.exists() and source.satisfied_by(_identity(path)[0]) and _is_whole(path):
        return True
    wanted = pieces if source.shard is None else [pieces[source.shard]]
    missing = _missing(source, wanted)  # before anything is replaced, a shard may be in use
    stamps = sum(len(numbers) for _, numbers in missing)
    needed = stamps * source.stamp_bytes()
    free = check_space("data.file", path, "the stamps", needed)
    _claim(path, source.attrs()["recipe"], overwrite)
    log.info("%d of %d shards to prepare, into %s", len(missing), len(wanted), path)
    log.info(
        "%d stamps to draw, about %.3g GB; the disk has %.3g GB free",
        *(stamps, needed / 1e9, free / 1e9),
    )
    _draw(source, missing)
    if _missing(source, pieces):
        if source.shard is None:
            raise GalgenError(
                f"{path}: some of its shards were replaced in the meantime. Is another command at "
                "work on them? Give the same command again."
            )
        return False
    with _lock(path):
        if not path.exists():
            _join(source, path, [shard for shard, numbers in pieces if numbers])
    return True


def _spare_inputs(source: Source, path: Path) -> None:
    """Refuse to write over the files that the stamps are made of, or into a folder that is one.

    Raises:
        GalgenError: if the stamp file, its shards or its report would be one of them.
    """
    inputs = source.inputs()
    taken = set(map(_number, (path, _report(path), *path.absolute().parents))) - {None}
    mine = next((file for file in inputs if _number(file) in taken), None)
    if mine is None:
        folder = Path(os.path.realpath(_folder(path)))
        places = {Path(os.path.realpath(place)) for place in {file.parent for file in inputs}}
        mine = next((place for place in places if folder in (place, *place.parents)), None)
    if mine is not None:
        raise GalgenError(
            f"data.file={path}: the stamps are made of {mine}, and this preparation would write "
            "there. Give another data.file."
        )


def _number(path: Path) -> tuple[int, int] | None:
    """Return the device and the inode of a file; None if it does not exist."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _is_whole(path: Path) -> bool:
    """Tell whether a stamp file and its shards can be read."""
    try:
        StampFile(path)
    except Unreadable:
        raise
    except GalgenError as error:
        log.warning("%s Missing shards are prepared again.", error)
        return False
    return True


def _claim(path: Path, recipe: str, overwrite: bool) -> None:
    """Note which recipe the shards are of, and remove a stamp file that is to be made anew.

    Raises:
        GalgenError: if there is another survey, or shards of another are being prepared.
    """
    note = _folder(path) / "recipe.txt"
    with _lock(path):
        found = _identity(path)[0] if path.exists() else recipe
        if found is None and not overwrite:
            raise GalgenError(
                f"data.file={path}: this is not a stamp file prepared by galgen, or it is damaged. "
                "Give another data.file, or overwrite=true to replace it."
            )
        others = found != recipe
        with reading(note):
            others |= note.exists() and note.read_text() not in ("", recipe)
        if others and not overwrite:
            raise GalgenError(
                f"data.file={path}: the file holds another survey, or another recipe of this one "
                "(or its shards do, unfinished). Give another data.file, or overwrite=true to "
                "replace it."
            )
        report = _report(path)
        if report.exists() and not (path.exists() or note.exists() or overwrite):
            raise GalgenError(
                f"data.file={path}: {report} exists, and this preparation would replace it. Give "
                "another data.file, or overwrite=true."
            )
        path.unlink(missing_ok=True)
        write_text(note, recipe)


def _report(path: Path) -> Path:
    return path.with_name(f"{path.name}.left_out.csv")


def _lock(path: Path) -> FileLock:
    _folder(path).mkdir(parents=True, exist_ok=True)
    return FileLock(_folder(path) / "lock")


def _folder(path: Path) -> Path:
    return path.with_name(f"{path.name}.shards")


def _pieces(source: Source, path: Path) -> list[tuple[Path, range]]:
    """Name each shard and the candidates in it; few candidates leave some empty."""
    bounds = np.linspace(0, len(source), source.shards + 1).round().astype(int).tolist()
    return [
        (_folder(path) / f"{number:05d}.h5", range(*bounds[number : number + 2]))
        for number in range(source.shards)
    ]


def _missing(source: Source, pieces: list[tuple[Path, range]]) -> list[tuple[Path, range]]:
    """Pick the shards that are still to be drawn."""
    return [(path, numbers) for path, numbers in pieces if not _finished(source, path, numbers)]


def _draw(source: Source, pieces: list[tuple[Path, range]]) -> None:
    """Draw shards on several processes.

    Raises:
        GalgenError: if a process is killed.
    """
    if not pieces:
        return
    # Threads of torch must not be forked; a fresh interpreter costs two seconds.
    context = multiprocessing.get_context("spawn")
    processes = min(source.processes or os.cpu_count(), len(pieces))
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(processes, context, _start_worker, (source,))
    try:
        # The processes are started here and never hear Ctrl-C: it is for this one to stop them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        drawn = [executor.submit(_draw_shard, *piece) for piece in pieces]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for shard in track(_completed(drawn), total=len(drawn), description="preparing shards"):
            shard.result()
    except BrokenProcessPool as error:
        raise GalgenError(
            "a process that prepares stamps was killed, perhaps because memory ran out. The same "
            "command resumes; prepare.processes=1 needs less memory. In a script of your own, put "
            "what it does below `if __name__ == '__main__':`, or each process begins it again."
        ) from error
    finally:
        with uninterrupted():
            for process in set(multiprocessing.active_children()) - others:
                process.kill()  # after a failure: a shard takes long to finish
            executor.shutdown(cancel_futures=True)
            _delete_parts(pieces[0][0].parent)


def _completed(shards: list[Future]) -> Iterator[Future]:
    """Yield shards as they are drawn.

    The wait ends every second, because a signal that the system gives to another thread does not
    wake this one, and only this one can act on it.
    """
    pending = set(shards)
    while pending:
        done, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        yield from done


def _delete_parts(folder: Path) -> None:
    """Delete half-written files of killed processes; files in use are locked."""
    for part in folder.glob("*.h5.*part"):
        lock = folder / f"{part.name.partition('.h5.')[0]}.h5.lock"
        with suppress(Timeout), FileLock(lock, timeout=0):
            part.unlink(missing_ok=True)


def _start_worker(source: Source) -> None:
    global _source
    threading.Thread(target=_follow_parent, daemon=True).start()
    source.start_worker()
    _source = source


def _follow_parent() -> None:
    """Stop this process when the one that started it ends."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _draw_shard(path: Path, numbers: range) -> None:
    """Draw one shard, unless another process has done so in the meantime.

    A process that draws may be killed at any moment: its half-written file is deleted by the
    process that started it or, if that was killed too, by the next preparation.
    """
    lock = Path(f"{path}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not _finished(_source, path, numbers):
            left_out: dict[str, str] = {}
            attrs = {**_source.attrs(), "candidates": _span(numbers)}
            write_stamps(path, _blocks(numbers, left_out), attrs, left_out)
    lock.unlink(missing_ok=True)  # a process waiting for it finds the shard finished


def _blocks(numbers: range, left_out: dict[str, str]) -> Iterator[dict[str, np.ndarray]]:
    """Draw candidates, a few at a time."""
    for start in range(0, len(numbers), BLOCK):
        block, failed = _source.draw(numbers[start : start + BLOCK])
        left_out.update({str(number): reason for number, reason in failed.items()})
        if len(block["image"]):
            yield block


def _join(source: Source, path: Path, shards: list[Path]) -> None:
    """Join the shards, list the galaxies left out, and delete other files beside them."""
    left_out = {name: why for shard in shards for name, why in read_left_out(shard).items()}
    report = _report(path)
    report.unlink(missing_ok=True)
    if left_out:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("galaxy", "reason"), *left_out.items()])
        write_text(report, text.getvalue())
        source.notes += [f"{n} left out: {why}" for why, n in Counter(left_out.values()).items()]
        source.notes.append(f"they are listed in {report}")
    filled = [shard for shard in shards if _identity(shard)[2]]
    if not filled:
        write_text(_folder(path) / "recipe.txt", "")  # shards of any survey may replace these
        raise _nothing_left(source, path, left_out)
    join_stamps(path, filled, source.attrs(), source.tables())
    source.review(StampFile(path).columns)
    folder = _folder(path)
    _delete_parts(folder)
    for stray in {*folder.glob("*.h5"), *folder.glob("*.lock")} - set(shards):
        stray.unlink(missing_ok=True)


def _nothing_left(source: Source, path: Path, left_out: dict[str, str]) -> GalgenError:
    """Return the error of a survey without a single stamp, with the reasons and their counts."""
    counts = Counter(left_out.values()).most_common()
    listed = "; ".join(f"{why} ({count})" for why, count in counts) or "there is none"
    return GalgenError(
        f"{source.given() or f'data.file={path}'}: none of the {len(left_out)} galaxies has a "
        f"stamp: {listed}. {_report(path)} lists them. Give other files."
    )


def _finished(source: Source, path: Path, numbers: range) -> bool:
    """Tell whether a shard is complete and of the source's recipe."""
    if not numbers:
        return True
    recipe, candidates, _ = _identity(path)
    return (recipe, candidates) == (source.attrs()["recipe"], _span(numbers))


def _span(numbers: range) -> str:
    return f"{numbers.start} to {numbers.stop - 1}"


def _identity(path: Path) -> list:
    """Read the recipe, candidates and number of stamps of a file; None, None, 0 if invalid.

    Raises:
        Unreadable: if the system does not give the file, so that it may be whole.
    """
    try:
        with reading(path), h5py.File(path) as file:
            return shard_identity(file)
    except OSError:  # missing, or damaged
        return [None, None, 0]
