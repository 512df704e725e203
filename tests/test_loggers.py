"""What the loggers write: metrics.csv, and the records of an offline W&B run."""

import struct
from pathlib import Path

import pytest
import torch
from wandb.proto import wandb_internal_pb2

from galgen.loggers import MetricsCSV
from galgen.records import read_metrics
from tests.conftest import only_run

BLOCK = 32768
FULL, FIRST, LAST = 1, 2, 4


def wandb_records(path: Path) -> list:
    """Read the records of an offline run: a LevelDB log behind a header of 7 bytes."""
    data, position, records, parts = path.read_bytes(), 7, [], []
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        if kind == FIRST:
            parts = []
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            records.append(record)
            parts = []
    return records


def histories(records: list) -> list[dict[str, str]]:
    rows = [r.history.item for r in records if r.WhichOneof("record_type") == "history"]
    return [{"/".join(i.nested_key) or i.key: i.value_json for i in row} for row in rows]


def wandb_arguments(small) -> list[str]:
    names = ["logger.group=mine", "logger.tags=[a,b]", "run_name=first"]
    return [*small, "logger=wandb", "logger.mode=offline", *names]


def test_an_offline_wandb_run_has_config_metrics_and_pictures(command, small):
    code, printed = command("train", *wandb_arguments(small))
    assert code == 0, printed
    (file,) = Path("runs/first").glob("wandb/offline-run-*/*.wandb")
    records = wandb_records(file)
    run = next(r.run for r in records if r.WhichOneof("record_type") == "run")
    assert (run.display_name, run.run_group, list(run.tags)) == ("first", "mine", ["a", "b"])
    assert run.project == "galgen"
    assert run.run_id == Path("runs/first/wandb_id.txt").read_text()
    updates = [u for r in records for u in [*r.config.update, *r.run.config.update]]
    config = {"/".join(u.nested_key) or u.key: u.value_json for u in updates}
    assert '"latent_dim":3' in config["model"].replace(" ", "")
    rows = histories(records)
    losses = [float(row["train/loss"]) for row in rows if "train/loss" in row]
    expected = [row["train/loss"] for row in read_metrics(Path("runs/first"))]
    assert losses == pytest.approx(expected, rel=1e-6)
    pictures = [key for row in rows for key in row if key.startswith(("reconstruction", "samples"))]
    assert {"reconstruction", "samples"} <= {key.split("/")[0] for key in pictures}
    assert list(Path("runs/first").glob("wandb/offline-run-*/files/media/images/*.png"))


def test_a_resumed_run_goes_on_in_the_same_wandb_run(command, small, pulling_the_plug):
    arguments = wandb_arguments(small)
    with pulling_the_plug(6):
        assert command("train", *arguments)[0] == 1
    assert command("train", *arguments)[0] == 0
    files = list(Path("runs/first").glob("wandb/offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # the id
    rows = [row for file in files for row in histories(wandb_records(file))]
    epochs = [int(row["epoch"]) for row in rows if "train/loss" in row]
    assert sorted(epochs) == [0, 1]


def test_two_runs_of_a_sweep_are_two_wandb_runs(command, small):
    arguments = [*small, "logger=wandb", "logger.mode=offline", "trainer.max_epochs=1"]
    assert command("train", "-m", *arguments, "seed=0,1")[0] == 0
    files = list(Path("runs").glob("*/wandb/offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 2
    for file in files:
        assert sum("train/loss" in row for row in histories(wandb_records(file))) == 1


def test_tensorboard_has_metrics_and_pictures(command, small):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    assert command("train", *small, "logger=tensorboard")[0] == 0
    events = event_accumulator.EventAccumulator(str(only_run() / "tensorboard")).Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    expected = [row["train/loss"] for row in read_metrics(only_run())]
    assert losses == pytest.approx(expected, rel=1e-6)
    assert "figures/reconstruction" in events.Tags()["images"]


def test_metrics_of_repeated_epochs_are_replaced(tmp_path):
    logger = MetricsCSV(tmp_path)
    for epoch in (0, 1, 2):
        logger.log_metrics({"val/loss": 10.0 - epoch, "epoch": epoch}, step=epoch)
        logger.log_metrics({"train/loss": 1 / 3, "epoch": epoch}, step=epoch)
    again = MetricsCSV(tmp_path)
    again.log_metrics({"val/loss": 5.0, "epoch": 2}, step=2)
    again.log_metrics({"unrelated": torch.tensor(1.0).item()}, step=2)
    rows = read_metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["val/loss"] for row in rows] == [10, 9, 5]
    assert rows[2]["train/loss"] == pytest.approx(1 / 3, rel=1e-6)
