"""Data modules: splits without leaks, batches, caches, facts."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from lightning_fabric.utilities import move_data_to_device

from galgen.config.paths import CONF
from galgen.config.targets import instantiate
from galgen.data.augmentation import dihedral
from galgen.data.batch import Batch, Share
from galgen.data.data_module import SurveyDataModule
from galgen.data.order import EpochBatches
from galgen.data.split import split_by_parent
from galgen.data.stamp_writing import write_stamps
from galgen.data.transforms import Asinh, Peak
from galgen.errors import GalgenError
from galgen.models.vae import VAE
from tests.conftest import discs

SURVEYS = sorted(path.stem for path in (CONF / "data").glob("[!_]*.yaml"))


def module(file, needs=(), **arguments):
    arguments = {"name": "cosmos", "image_size": 32, "batch_size": 8, **arguments}
    datamodule = SurveyDataModule(**{"file": file, "transform": Peak(), **arguments})
    datamodule.needs = needs
    return datamodule


@pytest.fixture
def augmented(tmp_path):
    """A stamp file of 30 galaxies in 4 copies each, in disorder."""
    path = tmp_path / "augmented.h5"
    parents = np.random.default_rng(0).permutation(np.repeat(np.arange(30) * 7, 4))
    columns = {"galaxy_id": parents, "redshift": parents / 100, "background": parents * 0.0 + 0.1}
    write_stamps(path, [{"image": discs(120), **columns}], {"survey": "mine"})
    return path


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize("fractions", [[0.8, 0.1, 0.1], [0.9, 0.1, 0.0], [0.5, 0.25, 0.25]])
def test_no_parent_is_in_two_parts(augmented, composed, survey, fractions):
    split = f"data.split=[{','.join(map(str, fractions))}]"
    config = composed(
        f"data={survey}", f"data.file={augmented}", "data.image_size=32", "data.batch_size=8", split
    )
    datamodule = instantiate(config.data)
    datamodule.setup()
    parents = {
        part: set(datamodule.stamps.columns["galaxy_id"][stamps.rows])
        for part, stamps in datamodule.parts.items()
    }
    assert parents["train"] | parents["val"] | parents["test"] == set(np.arange(30) * 7)
    assert sum(map(len, parents.values())) == 30
    for part, fraction in zip(("train", "val", "test"), fractions, strict=True):
        assert abs(len(parents[part]) - 30 * fraction) <= 1
        assert len(datamodule.parts[part]) == 4 * len(parents[part])


def test_the_split_depends_on_its_seed_alone():
    parents = np.arange(100)
    one, two = (split_by_parent(parents, [0.8, 0.1, 0.1], 0) for _ in range(2))
    other = split_by_parent(parents, [0.8, 0.1, 0.1], 1)
    assert all(np.array_equal(one[part], two[part]) for part in one)
    assert not np.array_equal(one["val"], other["val"])


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
            np.testing.assert_array_equal(batch.image, file["images"][:][rows])
            np.testing.assert_array_equal(batch.redshift, file["zphot"][:][rows])


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_a_batch_of_one(survey, cache):
    datamodule = module(survey, cache=cache)
    datamodule.setup()
    one = datamodule.batch("val", np.array([2]))
    assert one.image.shape == (1, 32, 32)
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
    model, noise = VAE(image_size=32, width=4, latent_dim=2), []
    for share in (None, Share(0, 2, 5), Share(1, 2, 5)):
        rows = torch.arange(5)[share.rank :: share.ranks] if share else torch.arange(5)
        batch = Batch(torch.zeros(len(rows), 32, 32), rows, share=share)
        noise.append(model.noise(batch, model.generator(1, 0, 0)))
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


def test_the_background_is_subtracted(augmented):
    datamodule = module(augmented)
    datamodule.setup()
    batch = datamodule.first("val", 5)
    raw = torch.from_numpy(datamodule.stamps.read(batch.index.numpy(), 32))
    light = (raw - 0.1).relu()
    torch.testing.assert_close(batch.image, light / light.amax(dim=(1, 2), keepdim=True))


def test_facts(survey):
    datamodule = module(survey)
    datamodule.setup()
    facts = datamodule.facts()
    assert facts["split"]["counts"] == {"train": 64, "val": 8, "test": 8}
    with h5py.File(survey) as file:
        rows = datamodule.parts["val"].rows
        images, redshift = file["images"][:], file["zphot"][:]
    np.testing.assert_allclose(
        facts["squared_error_of_zero"]["val"], (images[rows] ** 2).sum() / 8, rtol=1e-6
    )
    train = datamodule.parts["train"].rows
    np.testing.assert_allclose(facts["redshift"]["mean"], redshift[train].mean(), rtol=1e-6)
    assert "test" not in facts["squared_error_of_zero"]


def test_a_file_without_ids_is_warned_about(survey, augmented, caplog):
    module(survey).setup()
    assert "no galaxy ids" in caplog.text
    caplog.clear()
    module(augmented).setup()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 40}, "32 px cannot be cropped"),
        ({"batch_size": 65}, "larger than the training part, which has 64 of the 80"),
        ({"split": (0.95, 0.001, 0.049)}, "too few galaxies for a validation part"),
    ],
)
def test_what_does_not_fit_the_survey_is_refused(survey, arguments, message):
    with pytest.raises(GalgenError, match=message):
        module(survey, **arguments).setup()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cache": "disk"}, r"data\.cache"),
        ({"batch_size": 0}, r"data\.batch_size"),
        ({"split": (0.5, 0.5)}, r"data\.split"),
        ({"split": (0.5, 0.4, 0.2)}, r"data\.split"),
        ({"split": (1.0, 0.0, 0.0)}, r"data\.split"),
    ],
)
def test_bad_arguments_are_refused(survey, arguments, message):
    with pytest.raises(ValueError, match=message):
        module(survey, **arguments)


@pytest.mark.parametrize(
    ("redshift", "message"),
    [
        (np.linspace(0.01, 9, 80), None),
        (np.where(np.arange(80) == 7, -99, 1.0), r"1 of 80 redshifts .* row 7"),
        (np.where(np.arange(80) < 3, 0, 1.0), r"3 of 80 redshifts .* row 0"),
        (np.where(np.arange(80) == 5, np.nan, 1.0), r"1 of 80 redshifts .* row 5"),
        (None, "has no redshifts"),
    ],
)
def test_redshifts_are_required_of_every_galaxy(tmp_path, redshift, message):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["images"] = discs(80)
        if redshift is not None:
            file["zphot"] = redshift
    datamodule = module(tmp_path / "s.h5", needs=("redshift",))
    if message is None:
        datamodule.setup()
    else:
        with pytest.raises(GalgenError, match=message):
            datamodule.setup()
    module(tmp_path / "s.h5").setup()


def test_a_missing_file_says_what_it_must_hold(composed):
    for survey in ("cosmos", "deepfield"):
        datamodule = instantiate(composed(f"data={survey}", "data.file=x.h5").data)
        with pytest.raises(GalgenError, match=rf"data\.file=x\.h5: .* data={survey}\..* rank 3"):
            datamodule.setup()


def test_augmentation_is_a_function_of_seed_epoch_and_galaxy(augmented):
    datamodule = module(augmented, augment=True)
    datamodule.setup()
    datamodule.trainer = SimpleNamespace(training=True, current_epoch=0)

    def augmented_images(positions, epoch=0):
        datamodule.trainer.current_epoch = epoch
        batch = datamodule.parts["train"].batch(torch.tensor(positions))
        return datamodule.on_after_batch_transfer(batch, 0).image

    positions = list(range(16))
    first = augmented_images(positions)
    assert torch.equal(augmented_images([3, 5]), first[[3, 5]])
    assert not torch.equal(augmented_images(positions, epoch=1), first)
    datamodule.trainer.training = False
    plain = augmented_images(positions)
    assert not torch.equal(plain, first)
    torch.testing.assert_close(plain.sum(dim=(1, 2)), first.sum(dim=(1, 2)))


@pytest.fixture
def galaxies(tmp_path):
    """Galgen's own layout: 40 stamps of 40 px, three PSFs, weights; six without redshift."""
    path, rng = tmp_path / "own.h5", np.random.default_rng(1)
    columns = {
        "galaxy_id": np.arange(40),
        "redshift": np.where(np.arange(40) % 7 == 3, np.nan, 0.5).astype("f4"),
        "psf_index": np.arange(40) % 3,
        "noise_variance": np.linspace(1, 2, 40),
    }
    weight = np.ones((40, 40, 40), "f4")
    weight[:, :5] = 0
    write_stamps(path, [{"image": discs(40, 40), "weight": weight, **columns}], {"survey": "own"})
    with h5py.File(path, "a") as file:
        file["psf"] = rng.random((3, 5, 5)).astype("f4")
    return path


CACHES = [("ram", "float32"), ("ram", "float16"), ("none", "float32")]


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
        cropped = images[rows, 4:36, 4:36]
        np.testing.assert_allclose(batch.image, cropped, **tolerance)  # discs have a peak of 1
        np.testing.assert_allclose(batch.psf, psfs[rows % 3], **tolerance)
        np.testing.assert_array_equal(batch.weight, weights[rows, 4:36, 4:36])
        np.testing.assert_allclose(batch.noise_variance, 1 + rows / 39, rtol=1e-6)
    if cache == "ram":
        assert datamodule.parts["train"].cache.stacks["image"].dtype == getattr(torch, dtype)


def test_pixels_beyond_float16_are_a_sentence(tmp_path):
    images = discs(40)
    images[:10] *= 1e6  # far beyond the typical peak, and so the scale
    write_stamps(tmp_path / "s.h5", [{"image": images}], {})
    with pytest.raises(GalgenError, match=r"too bright.*cache_dtype=float32"):
        module(tmp_path / "s.h5", cache_dtype="float16").setup()


def test_galaxies_whose_psf_is_unknown_are_left_out_where_it_is_needed(tmp_path):
    psf = np.ones((40, 5, 5), "f4")
    psf[::5] = np.nan
    block = {"image": discs(40), "psf": psf, "has_psf": np.isfinite(psf[:, 0, 0])}
    write_stamps(tmp_path / "s.h5", [block], {})
    datamodule = module(tmp_path / "s.h5", psf=True)
    datamodule.setup()
    rows = np.concatenate([part.rows for part in datamodule.parts.values()])
    assert sorted(rows) == [row for row in range(40) if row % 5]


def test_reading_ahead_leaves_the_generator_of_the_noise_alone(survey):
    datamodule = module(survey, cache="none", num_workers=1)
    datamodule.setup()
    before = torch.get_rng_state()
    next(iter(datamodule.train_dataloader()))
    assert torch.equal(torch.get_rng_state(), before)


def test_psfs_that_are_not_there_are_a_sentence(augmented):
    with pytest.raises(GalgenError, match="has no PSFs"):
        module(augmented, psf=True).setup()


@pytest.mark.parametrize(("cache", "dtype"), CACHES)
def test_galaxies_without_redshift_are_left_out_where_it_is_needed(galaxies, caplog, cache, dtype):
    options = {"cache": cache, "cache_dtype": dtype, "psf": True}
    whole = module(galaxies, **options)
    datamodule = module(galaxies, needs=("redshift",), **options)
    for each in (whole, datamodule):
        each.setup()
    everything = {part: set(stamps.rows) for part, stamps in whole.parts.items()}
    assert "6 of 40 galaxies have no redshift" in caplog.text
    assert datamodule.facts()["without_redshift"] == 6
    with h5py.File(galaxies) as file:
        images, psfs = file["image"][:], file["psf"][:]
    for part, stamps in datamodule.parts.items():
        assert set(stamps.rows) == {row for row in everything[part] if row % 7 != 3}
        batch = datamodule.first(part, 100)
        rows = batch.index.numpy()
        assert (batch.redshift == 0.5).all()
        np.testing.assert_allclose(batch.image, images[rows, 4:36, 4:36], atol=1e-3)
        np.testing.assert_allclose(batch.psf, psfs[rows % 3], atol=1e-3)


def test_shifts_turns_and_flips_move_image_weight_and_psf_alike(galaxies):
    datamodule = module(galaxies, augment=True, max_shift=15, psf=True)
    datamodule.setup()
    assert datamodule.augmentation.margin == 4  # as far as the stamps reach
    datamodule.trainer = SimpleNamespace(training=True, current_epoch=0)
    batch = datamodule.on_after_batch_transfer(datamodule.parts["train"].batch(torch.arange(20)), 0)
    with h5py.File(galaxies) as file:
        images, psfs, weights = (file[name][:] for name in ("image", "psf", "weight"))
    symmetry, shift = (numbers.numpy() for numbers in datamodule.augmentation.draw(0, batch.index))
    assert {tuple(pair) for pair in np.abs(shift)} > {(0, 0)} or np.abs(shift).max() > 2
    for i, row in enumerate(batch.index.tolist()):
        down, right = shift[i]
        window = np.s_[4 - down : 36 - down, 4 - right : 36 - right]
        for found, stack in (
            (batch.image, images[row][window]),
            (batch.weight, weights[row][window]),
        ):
            expected = dihedral(torch.tensor(stack)[None], torch.tensor(symmetry[[i]]))[0]
            peak = expected.max() if found is batch.image else 1
            torch.testing.assert_close(found[i], expected / peak)
        turned = dihedral(torch.tensor(psfs[row % 3])[None], torch.tensor(symmetry[[i]]))[0]
        torch.testing.assert_close(batch.psf[i], turned)
    datamodule.trainer.training = False
    plain = datamodule.on_after_batch_transfer(datamodule.parts["train"].batch(torch.arange(20)), 0)
    np.testing.assert_allclose(plain.image, images[batch.index.numpy(), 4:36, 4:36], rtol=1e-6)


def test_the_deep_field_is_shifted_by_up_to_15_px(composed):
    config = composed("data=deepfield")
    assert (config.data.augment, config.data.max_shift, config.data.image_size) == (True, 15, 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"cache_dtype": "float8"}, "float32, float16"), ({"max_shift": -1}, "not be negative")],
)
def test_bad_loading_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        module("s.h5", **arguments)


def test_batches_move_to_pinned_memory_and_devices_whole():
    fields = {"image": torch.rand(2, 4, 4), "index": torch.arange(2), "psf": torch.rand(2, 3, 3)}
    batch = move_data_to_device(Batch(**fields), torch.device("meta"))
    assert batch.image.device.type == batch.psf.device.type == "meta"
    assert batch.redshift is None


@pytest.mark.parametrize("unknown", [None, 0.0, -1.0, np.nan, np.inf])
def test_noise_that_is_not_known_is_refused(tmp_path, unknown):
    variance = np.full(40, 0.01, np.float32)
    datamodule = module(tmp_path / "s.h5", needs=("noise_variance",))
    row = split_by_parent(np.arange(40), [0.8, 0.1, 0.1], 0)["train"][3]
    variance[row] = unknown or 0.0
    columns = {} if unknown is None else {"noise_variance": variance}
    write_stamps(tmp_path / "s.h5", [{"image": discs(40), **columns}], {})
    expected = "has none after" if unknown is None else f"1 of 36 noise variances .* row {row} "
    with pytest.raises(GalgenError, match=expected):
        datamodule.setup()


def test_noise_that_a_transform_loses_is_refused(tmp_path):
    noise = np.full(40, 0.01, np.float32)
    write_stamps(tmp_path / "s.h5", [{"image": discs(40), "noise_variance": noise}], {})
    needs = ("noise_variance",)
    module(tmp_path / "s.h5", needs).setup()
    with pytest.raises(GalgenError, match="has none after the transform 'asinh'"):
        module(tmp_path / "s.h5", needs, transform=Asinh(1.0)).setup()
