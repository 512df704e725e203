"""Which accelerators the jobs of a sweep use."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

CORES_OF_A_JOB = 4
"""Jobs at once without a GPU."""
PAUSE = 0.5
"""Between two looks for a free GPU, seconds."""


def visible_gpus() -> list[str]:
    """Name the GPUs that this process may use, as CUDA_VISIBLE_DEVICES does."""
    import torch  # here, because most commands that compose a config have no need of it

    chosen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return chosen or [str(number) for number in range(torch.cuda.device_count())]


def jobs_at_once(jobs_per_gpu: int) -> int:
    """Return how many jobs of a sweep a machine takes; those of 0 a GPU share all, as CPUs."""
    gpus = len(visible_gpus())
    return gpus * jobs_per_gpu or max(2, (os.cpu_count() or 1) // CORES_OF_A_JOB)


@contextlib.contextmanager
def hold_gpus(wanted: int, jobs_per_gpu: int) -> Iterator[list[str]]:
    """Wait for GPUs with room for a job, and hold the room.

    All processes of a user on a machine share the rooms, those of other sweeps too.

    Args:
        wanted: number of GPUs.
        jobs_per_gpu: jobs that a GPU takes at once.

    Yields:
        Their names; none where the machine has fewer.
    """
    gpus = visible_gpus()
    folder = Path(tempfile.gettempdir()) / f"galgen-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while 0 < wanted <= len(gpus):
        with contextlib.ExitStack() as held:
            free: list[str] = []
            for gpu in gpus:
                if len(free) < wanted and _take_room(held, folder, gpu, jobs_per_gpu):
                    free.append(gpu)
            if len(free) == wanted:
                yield free
                return
        time.sleep(PAUSE)
    yield []


def _take_room(held: contextlib.ExitStack, folder: Path, gpu: str, rooms: int) -> bool:
    for room in range(rooms):
        with contextlib.suppress(Timeout):
            held.enter_context(FileLock(folder / f"gpu{gpu}-{room}.lock", timeout=0))
            return True
    return False
