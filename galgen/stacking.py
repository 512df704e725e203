"""Stacked sweeps: trainings that differ in numbers alone, in one process and of one survey.

Each member of a stack is an ordinary training with a trainer, callbacks and a run directory of its
own, in a thread of its own; but one thread runs at a time, as far as its next step. Once all have
come to one, the steps are computed together.
"""

import copy
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from galgen.callbacks import SaveOnSignal
from galgen.config import check_arguments, check_targets, explain, instantiate, leave
from galgen.errors import GalgenError, InUse
from galgen.models.losses import Loss
from galgen.models.stack import Answer, Step, compute
from galgen.objectives import objective
from galgen.preemption import Preempted, handle
from galgen.runs import Run
from galgen.sweep_records import Record, read_job, read_records
from galgen.training import train


class Member(Callback):
    """One training of a stack; as a callback, it takes the steps of its trainer to the stack.

    Args:
        record: of its job.
        config: the job's.
        command: the words that its run keeps.
    """

    def __init__(self, record: Record, config: DictConfig, command: list[str]):
        self.record, self.config, self.run = record, config, Run(config)
        self.run.command = command
        self.step: Step | None = None
        self.answer: Answer | Exception | None = None
        self.told_to_leave = False
        self.ended = False
        self.go, self.stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.savers: list[SaveOnSignal] = []

    def begin(self, datamodule, conclude: Callable[["Member", BaseException | None], None]) -> None:
        """Start the thread; it waits for `resume`."""
        work = partial(self._train, datamodule, conclude)
        threading.Thread(target=work, name=self.run.directory.name, daemon=True).start()

    def resume(self) -> None:
        """Let the training go on to its next step, or its end."""
        self.go.release()
        self.stopped.acquire()

    def leave(self) -> None:
        """Have the training stop at its next step, with a checkpoint."""
        self.told_to_leave = True
        for saver in self.savers:
            saver.received = True

    def on_fit_start(self, trainer, pl_module):
        """Have the stack compute the losses of the model."""
        self.savers = [c for c in trainer.callbacks if isinstance(c, SaveOnSignal)]
        if self.told_to_leave:
            self.leave()
        pl_module.loss = partial(self._loss, pl_module)

    def _loss(self, model, batch, beta: float) -> Loss:
        self.step = Step(model, batch, beta, model.noise(batch))
        self.stopped.release()
        self.go.acquire()
        answer, self.answer, self.step = self.answer, None, None
        if isinstance(answer, Exception):
            raise answer
        return answer.differentiable(model)

    def _train(self, datamodule, conclude) -> None:
        self.go.acquire()
        torch.set_num_threads(1)  # what is large is computed by the stack
        error = None
        try:
            train(self.config, self.run, datamodule, [self])
        except BaseException as raised:
            error = raised
        try:
            conclude(self, error)
        finally:
            self.ended = True
            self.stopped.release()


def train_stack(members: list[Member], together: int | None, conclude: Callable) -> None:
    """Train the members of a stack, each to its own end.

    Args:
        members: trainings of one architecture on one survey.
        together: members computed at once; None for all on an accelerator, one on a CPU.
        conclude: called with a member, and an error that ended it or None, in its thread.
    """
    first = members[0].config
    survey = instantiate(first.data)
    survey.prepare_data()
    survey.setup("fit")
    threads = torch.get_num_threads()
    for member in members:
        own = copy.copy(survey)
        own.seed = member.config.data.seed
        member.begin(own, conclude)
        member.resume()
    torch.set_num_threads(threads)
    while waiting := [member for member in members if not member.ended]:
        for alike in _by_kind(waiting):
            _answer(alike, together)
        for member in waiting:
            member.resume()


def _by_kind(members: list[Member]) -> list[list[Member]]:
    kinds: dict[tuple, list[Member]] = {}
    for member in members:
        kinds.setdefault(member.step.kind, []).append(member)
    return list(kinds.values())


def _answer(members: list[Member], together: int | None) -> None:
    """Compute the steps that members wait for; what goes wrong is theirs."""
    steps = [member.step for member in members]
    trainer = steps[0].model.trainer
    if together is None:
        together = 1 if trainer.strategy.root_device.type == "cpu" else len(steps)
    try:
        answers = compute(steps, together, trainer.precision_plugin.forward_context)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError) and together > 1:
            error = GalgenError(
                f"{together} models do not fit on the device together; "
                f"launcher.together={together // 2} computes fewer at a time"
            )
        answers = [error] * len(members)
    for member, answer in zip(members, answers, strict=True):
        member.answer = answer


def main() -> None:
    """Train the jobs of a sweep whose folder and numbers are the command line."""
    folder, numbers = Path(sys.argv[1]), {int(word) for word in sys.argv[2:]}
    records = [record for record in read_records(folder) if record.number in numbers]
    members: list[Member] = []

    def stop(number: int, frame) -> None:
        for member in members:
            member.leave()

    def conclude(member: Member, error: BaseException | None) -> None:
        if error is None:
            best = objective(member.config, member.run)
            member.record.save(folder, state="done", best=best)
        elif isinstance(error, Preempted):
            member.record.save(folder, state="cut", reason=str(error))
        elif isinstance(error, InUse):
            member.record.save(folder, state="waiting")
        else:
            fail(member.record, error)

    def fail(record: Record, error: BaseException) -> None:
        if not isinstance(error, GalgenError):
            traceback.print_exception(error)  # into the log
        record.save(folder, state="failed", reason=explain(error))

    for record in records:
        try:
            config, command = read_job(record, folder)
            member = Member(record, config, command)
            check_targets(config)
            check_arguments(config)
            members.append(member)
        except Exception as error:
            fail(record, error)
    if not members:
        return
    try:
        handle(stop)
        signal.signal(signal.SIGINT, stop)
        train_stack(members, members[0].config.launcher.get("together"), conclude)
    except Exception as error:
        leave(error)
    if any(member.record.state == "cut" for member in members):
        leave(Preempted("stopped by a signal; the same command goes on from here"))


if __name__ == "__main__":
    main()
