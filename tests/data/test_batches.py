"""Batches: each galaxy once an epoch, in every process and from every cache."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from lightning_fabric.utilities import move_data_to_device

from galgen.data.batch import Batch, Share
from galgen.data.order import EpochBatches
from galgen.data.stamp_writing import write_stamps
from galgen.errors import GalgenError
from galgen.models.vae import VAE
from galgen.training.model_training import ModelTraining
from tests.conftest import discs
from tests.data.conftest import CACHES, module


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_an_epoch_has_each_training_galaxy_once(survey, cache):
    datamodule = module(survey, cache=cache)
    datamodule.setup()
    loader = datamodule.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 8
    index = torch.cat([batch.index for batch in batches])
    assert sorted(index.tolist()) == datamodule.parts["train"].rows.tolist()
    with h5py.File(survey) as file:
        for batch in batches:
            rows = batch.index.tolist()
            np.testing.assert_array_equal(batch.image[:, 0], file["images"][:][rows])
            np.testing.assert_array_equal(batch.redshift, file["zphot"][:][rows])


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_a_batch_of_one(survey, cache):
    datamodule = module(survey, cache=cache)
    datamodule.setup()
    one = datamodule.batch("val", np.array([2]))
    assert one.image.shape == (1, 1, 32, 32)
    assert torch.equal(one.image, datamodule.batch("val", np.array([1, 2])).image[1:])


def test_shuffling_is_a_function_of_seed_and_epoch():
    def orders(seed):
        batches = EpochBatches(50, 8, seed, shuffle=True)
        result = []
        for epoch in (0, 1, 0):
            batches.set_epoch(epoch)
            result.append(torch.cat([positions for positions, _ in batches]).tolist())
        return result

    first, second, again = orders(0)
    assert first == again != second
    assert first != orders(1)[0]


def test_ranks_share_the_batches_of_one_process():
    alone = list(EpochBatches(45, 8, seed=3, shuffle=True))
    ranks = [list(EpochBatches(45, 4, 3, True, rank, ranks=2)) for rank in range(2)]
    for (batch, _), *parts in zip(alone, *ranks, strict=True):
        both = torch.empty_like(batch)
        for positions, (rank, of, total) in parts:
            both[rank::of] = positions
            assert total == len(batch)
        assert torch.equal(both, batch)
        assert sum(share.galaxies for _, share in parts) == len(batch)
        assert sum(share.weight for _, share in parts) == 2


def test_a_rank_of_a_sharded_survey_gets_its_own_galaxies_in_every_epoch():
    seen = []
    for rank in range(3):
        batches = EpochBatches(32, 4, 3, True, rank, 3, sharded=True)
        for epoch in range(2):
            batches.set_epoch(epoch)
            seen.append(torch.cat([positions for positions, _ in batches]))
            assert set((seen[-1] % 3).tolist()) == {rank}
            assert len(seen[-1]) == len(set(seen[-1].tolist())) == len(range(rank, 32, 3))
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_device_cache_holds_the_galaxies_of_its_rank_and_reads_others(survey, rank):
    whole, mine = module(survey, cache="none"), module(survey, cache="device")
    for datamodule in (whole, mine):
        datamodule.setup()
    mine.trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device("cpu")), global_rank=rank, world_size=2
    )
    batches = list(mine.train_dataloader())
    assert len(mine.parts["train"].cache.stacks["image"]) == 32
    assert sum(len(batch.index) for batch in batches) == 32
    for batch in batches:
        rows = whole.parts["train"].rows.tolist()
        positions = torch.tensor([rows.index(row) for row in batch.index.tolist()])
        assert torch.equal(batch.image, whole.parts["train"].batch(positions).image)
    everything = np.arange(10)
    assert torch.equal(
        mine.batch("train", everything).image, whole.batch("train", everything).image
    )


def test_a_share_gives_the_noise_of_the_whole_batch():
    training, noise = ModelTraining(VAE(image_size=32, width=4, latent_dim=2)), []
    for share in (None, Share(0, 2, 5), Share(1, 2, 5)):
        rows = torch.arange(5)[share.rank :: share.ranks] if share else torch.arange(5)
        batch = Batch(torch.zeros(len(rows), 1, 32, 32), rows, share=share)
        noise.append(training.noise(batch, training.generator(1, 0, 0)))
    assert torch.equal(noise[0][::2], noise[1])
    assert torch.equal(noise[0][1::2], noise[2])


def test_no_rank_is_left_without_a_batch():
    ranks = [list(EpochBatches(9, 2, 0, True, rank, ranks=4)) for rank in range(4)]
    assert [len(batches) for batches in ranks] == [2] * 4
    assert all(len(positions) for batches in ranks for positions, _ in batches)
    seen = [int(i) for batches in ranks for p, share in batches for i in p[: share.galaxies]]
    assert sorted(seen) == list(range(9))


def test_validation_is_in_order(survey):
    datamodule = module(survey)
    datamodule.setup()
    index = torch.cat([batch.index for batch in datamodule.val_dataloader()])
    assert index.tolist() == datamodule.parts["val"].rows.tolist()


def test_a_survey_over_the_budget_is_read_from_disk(survey, caplog):
    datamodule = module(survey, cache_gb=1e-6)
    datamodule.setup()
    assert datamodule.parts["train"].cache is None
    assert "read from disk" in caplog.text


@pytest.mark.parametrize(("cache", "dtype"), CACHES)
def test_batches_have_what_the_file_has(galaxies, cache, dtype):
    datamodule = module(galaxies, cache=cache, cache_dtype=dtype, psf=True)
    datamodule.setup()
    with h5py.File(galaxies) as file:
        images, psfs, weights = (file[name][:] for name in ("image", "psf", "weight"))
    for part in ("train", "val", "test"):
        batch = datamodule.first(part, 100)
        rows = batch.index.numpy()
        assert batch.image.dtype == batch.psf.dtype == torch.float32
        tolerance = {"rtol": 1e-3, "atol": 1e-6} if dtype == "float16" else {"rtol": 1e-6}
        cropped = (images * (weights > 0))[rows, :, 4:36, 4:36]
        np.testing.assert_allclose(batch.image, cropped, **tolerance)  # discs have a peak of 1
        np.testing.assert_allclose(batch.psf, psfs[rows % 3], **tolerance)
        np.testing.assert_array_equal(batch.weight, weights[rows, :, 4:36, 4:36])
        np.testing.assert_allclose(batch.noise_variance[:, 0], 1 + rows / 39, rtol=1e-6)
    if cache == "ram":
        assert datamodule.parts["train"].cache.stacks["image"].dtype == getattr(torch, dtype)


def test_pixels_beyond_float16_are_a_sentence(tmp_path):
    images = discs(40)
    images[:10] *= 1e6  # far beyond the typical peak, and so the scale
    write_stamps(tmp_path / "s.h5", [{"image": images}], {})
    with pytest.raises(GalgenError, match=r"too bright.*cache_dtype=float32"):
        module(tmp_path / "s.h5", cache_dtype="float16").setup()


def test_reading_ahead_leaves_the_generator_of_the_noise_alone(survey):
    datamodule = module(survey, cache="none", num_workers=1)
    datamodule.setup()
    before = torch.get_rng_state()
    next(iter(datamodule.train_dataloader()))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_move_to_pinned_memory_and_devices_whole():
    fields = {
        "image": torch.rand(2, 1, 4, 4),
        "index": torch.arange(2),
        "psf": torch.rand(2, 1, 3, 3),
    }
    batch = move_data_to_device(Batch(**fields), torch.device("meta"))
    assert batch.image.device.type == batch.psf.device.type == "meta"
    assert batch.redshift is None
