"""Augmentation moves all that belongs to a galaxy, as its seed says."""

from types import SimpleNamespace

import h5py
import numpy as np
import torch

from galgen.data.augmentation import dihedral
from tests.data.conftest import module


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
    torch.testing.assert_close(plain.sum(dim=(1, 2, 3)), first.sum(dim=(1, 2, 3)))


def test_shifts_turns_and_flips_move_image_weight_and_psf_alike(galaxies):
    datamodule = module(galaxies, augment=True, max_shift=15, psf=True)
    datamodule.setup()
    assert datamodule.augmentation.margin == 4  # as far as the stamps reach
    datamodule.trainer = SimpleNamespace(training=True, current_epoch=0)
    batch = datamodule.on_after_batch_transfer(datamodule.parts["train"].batch(torch.arange(20)), 0)
    with h5py.File(galaxies) as file:
        images, psfs, weights = (file[name][:] for name in ("image", "psf", "weight"))
    images = images * (weights > 0)
    symmetry, shift = (numbers.numpy() for numbers in datamodule.augmentation.draw(0, batch.index))
    assert {tuple(pair) for pair in np.abs(shift)} > {(0, 0)} or np.abs(shift).max() > 2
    for i, row in enumerate(batch.index.tolist()):
        down, right = shift[i]
        window = np.s_[:, 4 - down : 36 - down, 4 - right : 36 - right]
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
    np.testing.assert_allclose(plain.image, images[batch.index.numpy(), :, 4:36, 4:36], rtol=1e-6)


def test_the_deep_field_is_shifted_by_up_to_15_px(composed):
    config = composed("data=deepfield")
    assert (config.data.augment, config.data.max_shift, config.data.image_size) == (True, 15, 128)
