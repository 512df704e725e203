"""What is said of how far a training is and how long it takes."""

import itertools
import re
import shutil

import pytest

from galgen.training import callbacks, progress
from galgen.training.progress import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (754, "12 min 34 s"),
        (3599.7, "1 h 00 min"),
        (97384, "27 h 03 min"),
    ],
)
def test_durations_have_the_units_that_matter(seconds, text):
    assert duration(seconds) == text


def test_the_line_of_an_epoch_tells_the_time_left(command, small, monkeypatch):
    """Each look at the clock takes a second; an epoch takes one to start and one a batch of 4."""
    clock = itertools.count()
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: float(next(clock)))
    code, printed = command("train", *small, "trainer.max_epochs=3")
    assert code == 0, printed
    lines = [line for line in printed.splitlines() if line.startswith("epoch")]
    # Begun at 0; the first epoch starts at 1, its batches end at 2 to 5, its line comes at 6.
    assert [re.findall("([0-9]+ s) left", line) for line in lines] == [["12 s"], ["6 s"], []]
    assert lines[0].startswith("epoch 1/3: train/loss")


def test_a_finished_training_says_so(command, small):
    assert "already finished" not in command("train", *small)[1]
    code, printed = command("train", *small)
    assert code == 0
    assert re.search(r"^runs/\S+ is already finished:\nruns/\S+: 2 epochs, best", printed)


@pytest.mark.parametrize("cut", [False, True])
def test_a_bar_shows_the_whole_training(command, small, pulling_the_plug, monkeypatch, cut):
    seen = []
    show = progress.TrainingProgress._show

    def watched(self, trainer):
        show(self, trainer)
        (task,) = self.bar.tasks
        seen.append((task.completed, task.total, task.fields["epoch"], task.fields["epochs"]))

    monkeypatch.setattr(progress.TrainingProgress, "_show", watched)
    arguments = [word for word in small if not word.startswith("callbacks.progress")]
    monkeypatch.setattr("galgen.training.fit.sys.stdout.isatty", lambda: True, raising=False)
    if cut:
        with pulling_the_plug(5):
            assert command("train", *arguments)[0] == 1
        assert [place[0] for place in seen] == [0, 1, 2, 3, 4, 5]
        seen.clear()
    code, printed = command("train", *arguments)
    assert code == 0, printed
    first = 4 if cut else 0
    assert [place[0] for place in seen] == list(range(first, 9))
    assert {place[1] for place in seen} == {8}
    assert seen[-1] == (8, 8, 2, 2)
    assert seen[0][2] == (2 if cut else 1)


def test_a_fit_says_how_far_it_is(command, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "copy")
    code, printed = command(
        "fit_prior",
        f"run={run}",
        "prior=flow",
        "prior.flow.max_epochs=40",
        "prior.flow.patience=99",
    )
    assert code == 0, printed
    lines = [line for line in printed.splitlines() if line.startswith("flow: epoch")]
    assert len(lines) == 2
    assert re.fullmatch(r"flow: epoch 20 of at most 40, held-out cost -?\d+\.\d\d", lines[0])
    assert lines[1].startswith("flow: epoch 40 of at most 40")
