"""The verdict on a model, against closed forms, and where it is repeated."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galgen.data.batch import Batch
from galgen.data.edges import edge_level
from galgen.data.transforms import Peak, Physical
from galgen.runs.verdict import cautions, checkerboard, edge_share, judge, summary
from tests.conftest import discs

SIGMA = 0.1
LIGHT = torch.from_numpy(discs(200))[:, None]
STAMPS = LIGHT + SIGMA * torch.randn(LIGHT.shape, generator=torch.Generator().manual_seed(0))


def survey(transform=None, noise: float | None = SIGMA, stamps=STAMPS, weight=None, unknown=()):
    """Galaxies in white noise, as a data module hands them out."""
    transform = transform or Physical(1.0)

    def batch(part: str, positions: np.ndarray) -> Batch:
        assert part == "val"  # the test part is evaluation's alone
        rows = torch.from_numpy(positions)
        known = None if noise is None else torch.full((len(rows), 1), noise)
        if known is not None:
            known[torch.isin(rows, torch.tensor(unknown))] = torch.nan
        counts = None if weight is None else weight[rows]
        return transform(Batch(stamps[rows], rows, noise=known, weight=counts))

    parts = {"val": range(200)}
    return SimpleNamespace(
        parts=parts, batch=batch, transform=transform, physical=lambda images: 2 * images
    )


def model_of(change):
    """A model that reconstructs rows of the survey in a way of its own."""
    done = []

    def reconstruct(batch):
        start = sum(done)
        done.append(len(batch.image))
        return change(LIGHT[start : start + len(batch.image)])

    return SimpleNamespace(
        device="cpu",
        reconstruct=reconstruct,
        transfer_batch_to_device=lambda batch, device, index: batch,
    )


def test_the_light_that_reconstructions_account_for():
    found = judge(model_of(lambda light: 0.8 * light), survey())
    assert found["galaxies"] == 200
    assert found["noise"] == pytest.approx(SIGMA**2)
    square = float(LIGHT.square().mean())
    assert found["squared_error_of_zero"] == pytest.approx(square + SIGMA**2, rel=0.02)
    assert found["squared_error"] == pytest.approx(0.04 * square + SIGMA**2, rel=0.02)
    assert found["explained"] == pytest.approx(1 - 0.2**2, abs=0.03)
    assert not cautions(found)
    assert "account for 9" in summary(found)


def test_pixels_that_do_not_count_are_not_judged():
    weight = torch.ones_like(STAMPS)
    weight[:, :4, :4] = 0
    spoilt = torch.where(weight > 0, STAMPS, 1e4)
    found = judge(model_of(lambda light: 0.8 * light), survey(stamps=spoilt, weight=weight))
    square = float(LIGHT[weight > 0].square().mean())
    assert found["squared_error"] == pytest.approx(0.04 * square + SIGMA**2, rel=0.02)
    assert found["squared_error_of_zero"] == pytest.approx(square + SIGMA**2, rel=0.02)
    assert abs(found["edge"]["survey"]) < 0.2


def test_galaxies_of_unknown_noise_do_not_count_theirs_as_light():
    others = survey(noise=0.5, stamps=LIGHT + 5 * (STAMPS - LIGHT), unknown=range(0, 200, 3))
    found = judge(model_of(lambda light: light), others)
    assert found["noise"] == pytest.approx(0.25)
    assert found["explained"] == pytest.approx(1, abs=0.1)
    assert not cautions(found)


def test_without_a_known_noise_it_counts_as_light():
    found = judge(model_of(lambda light: light), survey(noise=None))
    square = float(LIGHT.square().mean())
    assert found["noise"] is None
    assert found["explained"] == pytest.approx(1 - SIGMA**2 / (square + SIGMA**2), abs=0.02)


def test_a_model_is_not_blamed_for_noise_that_is_not_known():
    noisy = survey(noise=None, stamps=LIGHT + 10 * (STAMPS - LIGHT))
    [caution] = cautions(judge(model_of(lambda light: light), noisy))
    assert "is poor, or much of that light is noise, which is not known" in caution


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "failed: reconstructions are no better than an all-zero image"), (0.2, "is poor")],
)
def test_a_model_that_failed_or_is_poor(share, said):
    [caution] = cautions(judge(model_of(lambda light: share * light), survey()))
    assert said in caution
    assert "an all-zero image" in caution


def test_a_pedestal_is_a_share_of_the_light():
    level = 0.3 * LIGHT.sum(dim=(1, 2, 3)).mean() / 32**2
    found = judge(model_of(lambda light: light + level), survey())
    expected = edge_share((LIGHT + level).numpy())
    assert found["edge"]["median"] == pytest.approx(np.median(expected), rel=1e-5)
    assert found["edge"]["median"] == pytest.approx(0.23, abs=0.05)
    assert found["edge"]["low"] < found["edge"]["median"] < found["edge"]["high"]
    assert "stand on a pedestal" in cautions(found)[-1]
    assert "edge=subtract" in cautions(found)[-1]


def test_a_level_that_the_survey_has_too_is_no_pedestal():
    found = {"explained": 0.9, "edge": {"median": 0.3, "low": 0.1, "high": 0.5, "survey": 0.29}}
    assert not cautions(found)
    found["edge"]["survey"] = -0.3  # noise, of which a level is not made
    assert cautions(found)


def test_the_level_and_its_share_of_a_known_image():
    image = np.full((1, 10, 10), 0.5)
    image[0, 5, 5] += 50
    assert edge_level(image) == 0.5
    assert edge_share(image) == pytest.approx(0.5)
    assert np.isnan(edge_share(np.zeros((1, 4, 4))))


@pytest.mark.parametrize("size", [32, 33])
def test_a_checkerboard_stands_out_of_the_power_beside_it(size):
    images = discs(20, size)
    assert checkerboard(images) < 2
    pattern = 0.01 * (-1.0) ** np.add.outer(np.arange(size), np.arange(size))
    assert checkerboard(images + pattern) > 20
    assert checkerboard(images + np.random.default_rng(0).normal(0, 0.01, images.shape)) < 3


def test_rounding_is_no_checkerboard():
    size = np.arange(64) - 32
    smooth = np.exp(-np.add.outer(size**2, size**2) / 50)[None, None]
    pattern = (-1.0) ** np.add.outer(np.arange(64), np.arange(64))
    assert checkerboard(smooth + 1e-7 * pattern) < 1
    assert checkerboard(smooth + 1e-4 * pattern) > 20


def test_a_checkerboard_is_a_caution():
    pattern = torch.from_numpy(0.01 * (-1.0) ** np.add.outer(np.arange(32), np.arange(32))).float()
    found = judge(model_of(lambda light: light + pattern), survey())
    assert found["checkerboard"] > 20
    assert "have a checkerboard" in cautions(found)[0]


def test_peaks_have_no_white_noise():
    found = judge(model_of(lambda light: light), survey(Peak()))
    assert found["noise"] is None
    assert found["edge"]["survey"] < 0.9


def test_a_training_says_its_verdict_and_so_does_the_same_command_again(command, small):
    for _ in range(2):
        code, printed = command("train", *small)
        assert code == 0, printed
        assert "caution: this model failed: reconstructions are no better" in printed


def test_a_training_ends_with_a_verdict_which_the_commands_repeat(command, trained, tmp_path):
    stored = json.loads((trained / "DONE").read_text())["verdict"]
    assert stored["galaxies"] == 8
    assert stored["squared_error"] > 0
    run = shutil.copytree(trained, tmp_path / "run")
    done = json.loads((run / "DONE").read_text())
    done["verdict"] = {**stored, "explained": -0.6, "edge": None}
    (run / "DONE").write_text(json.dumps(done))
    for name, *words in (
        ("plot", "out=pictures"),
        ("generate", "n=2", "redshift=1", "out=m.h5"),
        ("export", "format=torchscript"),
        ("fit_prior", "prior=gmm", "prior.gmm.components=1"),
    ):
        code, printed = command(name, f"run={run}", *words)
        assert code == 0, printed
        assert "this model failed" in printed, name
    (run / "DONE").write_text("[")
    code, printed = command("plot", f"run={run}", "out=pictures")
    assert (code, "DONE is damaged" in printed) == (1, True)
