"""Surveys as Lightning data modules: split by parent galaxy, read once, handed out in batches."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from galgen.data.augmentation import Augmentation, crop, dihedral
from galgen.data.bands import band_names
from galgen.data.batch import Batch
from galgen.data.identity import redshift_statistics, split_facts
from galgen.data.noise_level import noise_level
from galgen.data.order import EpochBatches
from galgen.data.part import READ_BLOCK, Part, gigabytes, read_into_memory
from galgen.data.requirements import check_correlation, check_noise, with_redshift
from galgen.data.split import PARTS, check_shares, split_stamps
from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError
from galgen.files import cache_folder, expand

log = logging.getLogger(__name__)

CACHES = ("ram", "device", "none")
CACHE_DTYPES = {"float32": torch.float32, "float16": torch.float16}
BASELINE_STAMPS = 4096
"""Stamps of a part that its all-zero baseline is measured on, at most."""
HINT = "Give data.file=<stamp file>"
"""Default hint about the origin of a stamp file."""


class SurveyDataModule(LightningDataModule):
    """A survey's stamps in three parts, none of which shares a parent galaxy with another.

    Args:
        name: the survey, as in run names.
        file: stamp file; where None, the survey's own place in the cache folder.
        image_size: side of the crop around the centre of each stamp, px; that of the stamps where
            None.
        bands: names of the bands, in this order, or `hst` or `lsst`; all of the stamp file where
            None.
        batch_size: galaxies in a batch, on each device.
        transform: callable that brings a batch to the model's scale.
        hint: sentence about how to get the stamp file, printed when it is missing.
        pixel_scale: of stamp files without one of their own, arcsec.
        split: shares of train, val and test, which sum to 1.
        split_seed: seed of the split; not the run's, so that runs are compared on one split.
        seed: seed of shuffling and augmentation.
        cache: `ram` or `device` keep all stamps of train and val there, `none` reads each batch.
        cache_dtype: `float32`, or `float16` in half the memory; a batch is float32 in any case.
        cache_gb: a survey larger than this is read from disk whatever `cache` says, GB.
        num_workers: processes that read ahead, for `cache: none`.
        augment: whether to turn, flip and shift the training stamps at random.
        max_shift: largest shift, px, as far as the stamps are larger than `image_size`.
        psf: whether batches have the PSFs of the galaxies.

    Attributes:
        needs: columns that a model needs of every galaxy, `redshift` or `noise_variance`; set
            before `setup`, which leaves out the galaxies without a redshift.
        without_redshift: number of the galaxies that are left out.
        parts: the parts by name.
        value_range: bounds of the pixels that a model is to make, from a look at some of them.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        name: str,
        image_size: int | None,
        transform: Callable[[Batch], Batch],
        bands: str | Sequence[str] | None = None,
        file: str | None = None,
        hint: str = HINT,
        pixel_scale: float | None = None,
        batch_size: int = 64,
        split: Sequence[float] = (0.8, 0.1, 0.1),
        split_seed: int = 0,
        seed: int = 0,
        cache: str = "ram",
        cache_dtype: str = "float32",
        cache_gb: float = 12.0,
        num_workers: int = 0,
        augment: bool = False,
        max_shift: int = 0,
        psf: bool = False,
    ):
        super().__init__()
        for key, value, known in (
            ("cache", cache, CACHES),
            ("cache_dtype", cache_dtype, CACHE_DTYPES),
        ):
            if value not in known:
                raise ValueError(f"data.{key}={value}: it can be one of {', '.join(known)}.")
        if pixel_scale is not None and not pixel_scale > 0:
            raise ValueError(f"data.pixel_scale={pixel_scale}: it must be positive.")
        if max_shift < 0:
            raise ValueError(f"data.max_shift={max_shift}: it must not be negative.")
        if batch_size < 1:
            raise ValueError(f"data.batch_size={batch_size}: it must be positive.")
        check_shares(split)
        self.bands = band_names(bands)
        if self.bands == []:
            raise ValueError("data.bands=[]: give at least one band, such as [F814W].")
        self.name, self.image_size, self.transform = name, image_size, transform
        self.file = expand(file) if file else self.default_file()
        self.hint, self.pixel_scale = hint, pixel_scale
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.split, self.split_seed = list(split), split_seed
        self.cache, self.cache_gb, self.num_workers = cache, cache_gb, num_workers
        self.cache_dtype = CACHE_DTYPES[cache_dtype]
        self.max_shift, self.psf = max_shift, psf
        self.needs: tuple[str, ...] = ()
        self.without_redshift = 0
        self.parts: dict[str, Part] = {}
        self.reached = (0, 0)
        """Epoch to resume in, and the number of its batches that have been seen."""

    def default_file(self) -> Path:
        """Return where the survey lies when no file is given."""
        return cache_folder() / f"{self.name}.h5"

    def open_file(self) -> StampFile:
        """Open the stamp file.

        Raises:
            GalgenError: if the file is missing or bad.
        """
        if not self.file.is_file():
            raise GalgenError(f"data.file={self.file}: there is no such stamp file. {self.hint}.")
        return StampFile(self.file, self.bands)

    def setup(self, stage: str | None = None) -> None:
        """Open the stamp file, split it, and fill the cache.

        Raises:
            GalgenError: if the file is missing or bad, the image size does not fit the stamps,
                the batch size does not fit the split, or the stamps lack a column that the model
                needs.
        """
        if self.parts:
            return
        self.stamps = self.open_file()
        self._check_size()
        rows = split_stamps(self.stamps, self.split, self.split_seed)
        noise = np.ones(len(self.stamps.bands))
        half = self.cache != "none" and self.cache_dtype == torch.float16
        if half or (self.transform.by_noise and self.transform.scale is None):
            # Of all galaxies: the scale is the same whatever the model needs to know of them.
            noise = noise_level(self.stamps, rows["train"], self.image_size)
            self.transform.fit(noise)
        psf = self.psf or "psf" in self.needs
        usable, size = self._usable(psf), self.image_size + 2 * self.augmentation.margin
        self.parts = {
            part: Part(
                self.stamps,
                rows[part][usable[rows[part]]],
                size,
                psf,
                turned=self.augment and part == "train",
            )
            for part in PARTS
        }
        self._check_parts()
        self.value_range = self._value_range()
        if self.cache != "none":
            self._read_into_memory(noise)

    def facts(self) -> dict:
        """Describe survey, transform and split, as the run's data.json keeps them."""
        # The test part is evaluation's alone.
        baseline = {
            part: self._zero_baseline(stamps)
            for part, stamps in self.parts.items()
            if part != "test" and len(stamps)
        }
        numbers = {"name": type(self.transform).__name__.lower(), **vars(self.transform)}
        return {
            "survey": self.name,
            "file": str(self.file.resolve()),
            "stamps": len(self.stamps),
            "stamp_size": self.stamps.size,
            "image_size": self.image_size,
            "bands": self.stamps.bands,
            "attributes": self.stamps.attrs,
            "transform": numbers,
            "split": split_facts(self),
            "redshift": redshift_statistics(self),
            "without_redshift": self.without_redshift,
            "background": self._background(),
            "squared_error_of_zero": baseline,
        }

    def train_dataloader(self) -> DataLoader:
        """Return the training batches, reshuffled each epoch."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """Return the validation batches in order."""
        return self._loader("val", shuffle=False)

    def state_dict(self) -> dict[str, int]:
        """Say how far the training has come, for its checkpoint."""
        return {"epoch": self.trainer.current_epoch, "batches": self.trainer.fit_loop.batch_idx + 1}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from where a checkpoint was written."""
        self.reached = state_dict["epoch"], state_dict["batches"]

    def first(self, part: str, n: int) -> Batch:
        """Return the first n galaxies of a part, or all of fewer, normalised, on its device."""
        return self.batch(part, np.arange(min(n, len(self.parts[part]))))

    def batch(self, part: str, positions: np.ndarray) -> Batch:
        """Return galaxies of a part, normalised, by their positions (n,) in it, from 0."""
        return self._finished(self.parts[part].batch(torch.from_numpy(positions)))

    def physical(self, images: np.ndarray) -> np.ndarray:
        """Bring images (N, B, H, W) from the model's scale to the stamp file's unit, float32."""
        return self.transform.inverse(torch.from_numpy(images)).numpy()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Crop and normalise a batch on its device, and augment it in training."""
        return self._finished(batch, augment=self.augment and self.trainer.training)

    def training_redshifts(self) -> np.ndarray:
        """Return the redshifts of the training part, (N,), NaN where unknown."""
        return self.stamps.columns["redshift"][self.parts["train"].rows]

    def _finished(self, batch: Batch, augment: bool = False) -> Batch:
        """Turn stamps of a part into a batch for the model."""
        symmetry, shift = None, None
        if augment:
            symmetry, shift = self.augmentation.draw(self.trainer.current_epoch, batch.index)
        stacks = {
            name: getattr(batch, name)
            for name in ("image", "weight", "psf")
            if getattr(batch, name) is not None
        }
        for name in stacks.keys() - {"psf"}:
            stacks[name] = crop(stacks[name], self.image_size, shift)
        if batch.weight is not None:
            # A cosmic ray there must neither be seen by the encoder nor taken for the peak.
            stacks["image"] = stacks["image"].where(stacks["weight"] > 0, 0.0)
        if augment:
            stacks = {name: dihedral(stack, symmetry) for name, stack in stacks.items()}
        return self.transform(replace(batch, **stacks))

    def _check_size(self) -> None:
        """Check the size of the crop, and find out how far it may be shifted.

        Raises:
            GalgenError: if the stamps are smaller.
        """
        self.image_size = self.image_size or self.stamps.size
        if self.image_size > self.stamps.size:
            raise GalgenError(
                f"{self.file}: stamps of {self.stamps.size} px cannot be cropped to "
                f"data.image_size={self.image_size}."
            )
        room = (self.stamps.size - self.image_size) // 2
        margin = min(self.max_shift, room) if self.augment else 0
        self.augmentation = Augmentation(self.seed, len(self.stamps), margin)

    def _usable(self, psf: bool) -> np.ndarray:
        """Return which galaxies have what the model and the batches need, (N,)."""
        usable = np.ones(len(self.stamps), bool)
        if psf and "has_psf" in self.stamps.columns:
            usable &= self.stamps.columns["has_psf"] > 0
        if "redshift" in self.needs:
            known = with_redshift(self.stamps)
            self.without_redshift = int((~known).sum())
            if self.without_redshift:
                log.warning(
                    "%d of %d galaxies have no redshift and are left out of this training",
                    self.without_redshift,
                    len(known),
                )
            usable &= known
        return usable

    def _check_parts(self) -> None:
        """Check that the parts suffice for a training, and that the noise is known if need be.

        Raises:
            GalgenError: if they do not, or it is not.
        """
        train = len(self.parts["train"])
        if train < self.batch_size:
            raise GalgenError(
                f"data.batch_size={self.batch_size} is larger than the training part, which has "
                f"{train} of the {len(self.stamps)} stamps in {self.file}."
            )
        if not len(self.parts["val"]):
            raise GalgenError(f"{self.file}: too few galaxies for a validation part.")
        if "noise_correlation" in self.needs:
            check_correlation(self.stamps)
        if "noise_variance" in self.needs:
            rows = np.concatenate([self.parts[part].rows for part in PARTS[:2]])
            check_noise(self.stamps, rows, self.transform, self.first("train", 1))

    def _value_range(self) -> tuple[float, float]:
        """Look at some stamps for the bounds of their pixels on the model's scale."""
        looked_at = slice(0, READ_BLOCK)
        pixels = self.stamps.read(looked_at, self.image_size)
        if "weight" in self.stamps.stacks:
            pixels[self.stamps.read(looked_at, self.image_size, "weight") == 0] = 0
        axes = (0, 2, 3)
        return self.transform.value_range(
            pixels.min(axes).astype(float), pixels.max(axes).astype(float)
        )

    def _background(self) -> list[float] | None:
        """Return the usual level of the training stamps in each band; None where none is known."""
        levels = self.parts["train"].columns.get("background")
        return None if levels is None else levels.nanmedian(dim=0).values.nan_to_num().tolist()

    def _zero_baseline(self, part: Part) -> float:
        """Measure what an all-zero prediction scores, per galaxy."""
        total, n = 0.0, min(len(part), BASELINE_STAMPS)
        for start in range(0, n, READ_BLOCK):
            batch = self._finished(part.batch(torch.arange(start, min(start + READ_BLOCK, n))))
            counted = 1 if batch.weight is None else batch.weight
            total += float((batch.image.double().square() * counted).sum())
        return total / n

    def _read_into_memory(self, noise: np.ndarray) -> None:
        cached = [self.parts[part] for part in PARTS[:2]]
        size = gigabytes(cached, self.cache_dtype)
        if size > self.cache_gb:
            log.warning(
                "the survey takes %.1f GB and data.cache_gb is %s: batches are read from disk",
                size,
                self.cache_gb,
            )
            return
        read_into_memory(cached, self.cache_dtype, noise)

    def _loader(self, name: str, shuffle: bool) -> DataLoader:
        part, trainer = self.parts[name], self.trainer
        ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        if self.cache == "device" and trainer is not None:
            part.move_to(trainer.strategy.root_device, *ranks)
        sharded, device = part.cache is not None and part.cache.ranks > 1, part.index.device
        batches = EpochBatches(
            len(part), self.batch_size, self.seed, shuffle, *ranks, sharded, device
        )
        if name == "train":
            batches.go_on(*self.reached)
        workers = self.num_workers if part.cache is None else 0
        return DataLoader(
            part,
            sampler=batches,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # else it takes a number from that of the noise
            pin_memory=torch.cuda.is_available() and part.index.device.type == "cpu",
        )
