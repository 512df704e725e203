"""Surveys as Lightning data modules: split by parent galaxy, read once, handed out in batches."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from galgen.data.noise_level import noise_level
from galgen.data.parts import PARTS, Batch, EpochBatches, Part, split_by_parent
from galgen.data.stamps import LARGEST_REDSHIFT, StampFile, known_redshifts
from galgen.data.transforms import crop, dihedral
from galgen.errors import GalgenError
from galgen.files import cache_folder, expand

log = logging.getLogger(__name__)

CACHES = ("ram", "device", "none")
CACHE_DTYPES = {"float32": torch.float32, "float16": torch.float16}
READ_TOGETHER = 256
"""Stamps read at a time when a survey is cached."""
BASELINE_STAMPS = 4096
"""Stamps of a part that its all-zero baseline is measured on, at most."""


class SurveyDataModule(LightningDataModule):
    """A survey's stamps in three parts, none of which shares a parent galaxy with another.

    Args:
        name: the survey, as in run names.
        file: stamp file; where None, the survey's own place in the cache folder.
        image_size: side of the crop around the centre of each stamp, px.
        batch_size: galaxies in a batch, on each device.
        transform: callable that brings a batch to the model's scale.
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
        value_range: bounds of the pixels that a model is to make, from a look at some of them.

    Raises:
        ValueError: if an argument is out of range.
    """

    how_to_get = "give data.file=<stamp file>"
    pixel_scale: float | None = None
    """Of stamp files that do not say theirs, arcsec."""

    def __init__(
        self,
        name: str,
        image_size: int,
        transform: Callable[[Batch], Batch],
        file: str | None = None,
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
                raise ValueError(f"data.{key} is {value!r}, it can be one of {', '.join(known)}")
        if max_shift < 0:
            raise ValueError(f"data.max_shift is {max_shift}, it must not be negative")
        if batch_size < 1:
            raise ValueError(f"data.batch_size is {batch_size}, it must be positive")
        if (
            isinstance(split, float | int)
            or len(split) != 3
            or min(split) < 0
            or abs(sum(split) - 1) > 1e-6
            or min(split[:2]) == 0
        ):
            raise ValueError(
                f"data.split is {split}, it takes three shares (train, val, test) that sum "
                "to 1, the first two positive"
            )
        self.name, self.image_size, self.transform = name, image_size, transform
        self.file = expand(file) if file else self.default_file()
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.split, self.split_seed = list(split), split_seed
        self.cache, self.cache_gb, self.num_workers = cache, cache_gb, num_workers
        self.cache_dtype = CACHE_DTYPES[cache_dtype]
        self.max_shift, self.psf = max_shift, psf
        self.without_redshift = 0
        self.parts: dict[str, Part] = {}
        self.reached = (0, 0)
        """Epoch that the training is to go on in, and the batches of it that have been seen."""

    def default_file(self) -> Path:
        """Return where the survey lies when no file is given."""
        return cache_folder() / f"{self.name}.h5"

    def open_file(self) -> StampFile:
        """Open the stamp file.

        Raises:
            GalgenError: if the file is missing or bad.
        """
        if not self.file.is_file():
            raise GalgenError(f"{self.file}: there is no such stamp file; {self.how_to_get}")
        return StampFile(self.file)

    def setup(self, stage: str | None = None) -> None:
        """Open the stamp file, split it, and read what is to be cached.

        Raises:
            GalgenError: if the file is missing or bad, the image size does not fit the stamps,
                or the batch size the split.
        """
        if self.parts:
            return
        self.stamps = self.open_file()
        if self.image_size > self.stamps.size:
            raise GalgenError(
                f"{self.file}: stamps of {self.stamps.size} px cannot be cropped to "
                f"data.image_size={self.image_size}"
            )
        if "galaxy_id" not in self.stamps.columns:
            log.warning(
                "%s has no galaxy ids: if it holds augmented copies of one galaxy, they may stand "
                "on both sides of the split",
                self.file,
            )
        parents = self._parents()
        galaxies = len(np.unique(parents))
        if galaxies < 3 <= len(self.stamps):
            raise GalgenError(
                f"{self.file}: 'galaxy_id' has {galaxies} different values in all stamps, and a "
                "split needs 3 galaxies. Give each galaxy its own id."
            )
        rows = split_by_parent(parents, self.split, self.split_seed)
        self.margin = 0
        if self.augment:
            self.margin = min(self.max_shift, (self.stamps.size - self.image_size) // 2)
        self.parts = {part: self._part(part, rows[part]) for part in PARTS}
        self._check_parts()
        noise, half = 1.0, self.cache != "none" and self.cache_dtype == torch.float16
        if half or (self.transform.by_noise and self.transform.scale is None):
            noise = noise_level(self.stamps, rows["train"], self.image_size)
            self.transform.fit(noise)
        looked_at = slice(0, READ_TOGETHER)
        pixels = self.stamps.read(looked_at, self.image_size)
        if "weight" in self.stamps.stacks:
            pixels[self.stamps.read(looked_at, self.image_size, "weight") == 0] = 0
        self.value_range = self.transform.value_range(float(pixels.min()), float(pixels.max()))
        if self.cache != "none":
            self._read_into_memory(noise)

    def require_redshifts(self) -> None:
        """Leave out the galaxies whose redshift galgen's own layout marks as unknown, by NaN.

        Raises:
            GalgenError: if the file has none, or some are a catalogue's mark of failure, or too
                few are left.
        """
        redshift = self.stamps.columns.get("redshift")
        if redshift is None:
            raise GalgenError(
                f"{self.file} has no redshifts, which a conditional model needs; choose model=vae, "
                "or a file with a 1-D data set of redshifts"
            )
        known = np.isfinite(known_redshifts(redshift))
        marked = np.isnan(redshift) & (not self.stamps.peak_normalised)
        bad = np.flatnonzero(~(known | marked))
        if len(bad) or not known.any():
            raise GalgenError(
                f"{self.file}: {(~known).sum()} of {len(redshift)} redshifts are NaN or outside 0 "
                f"to {LARGEST_REDSHIFT}, the first in row {np.flatnonzero(~known)[0]} (counted "
                "from 0); remove these galaxies, or choose model=vae"
            )
        self.without_redshift = int(marked.sum())
        if self.without_redshift:
            log.warning(
                "%d of %d galaxies have no redshift and are left out of this training",
                self.without_redshift,
                len(redshift),
            )
            for part in self.parts.values():
                part.keep(known[part.rows])
            self._check_parts()

    def require_noise(self) -> None:
        """Check that the noise of every stamp in train and val is known, after the transform too.

        Raises:
            GalgenError: if the survey has no noise variances, the transform loses them, or some
                are not positive.
        """
        variance = self.stamps.columns.get("noise_variance")
        if variance is None or self.first("train", 1).noise_variance is None:
            raise GalgenError(
                f"likelihood=noise_aware needs the noise variance of every stamp, and {self.file} "
                f"has none after the transform '{type(self.transform).__name__.lower()}'; choose "
                "a survey with noise_variance, and transform=none or peak"
            )
        rows = np.concatenate([self.parts[part].rows for part in PARTS[:2]])
        bad = np.sort(rows[~(np.isfinite(variance[rows]) & (variance[rows] > 0))])
        if len(bad):
            raise GalgenError(
                f"{self.file}: {len(bad)} of {len(rows)} noise variances are not positive "
                f"numbers, the first in row {bad[0]} (counted from 0), and likelihood=noise_aware "
                "needs them all; remove these galaxies, or choose another likelihood"
            )

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
            "attributes": self.stamps.attrs,
            "transform": numbers,
            "split": self.split_facts(),
            "redshift": self.redshift_statistics(),
            "without_redshift": self.without_redshift,
            "squared_error_of_zero": baseline,
        }

    def split_facts(self) -> dict:
        """Describe the split: its shares and seed, counts and hashed galaxy ids of the parts."""
        split = {"fractions": self.split, "seed": self.split_seed, "counts": {}, "sha256": {}}
        for part, stamps in self.parts.items():
            split["counts"][part] = len(stamps)
            parents = np.unique(self._parents()[stamps.rows]).astype("<i8")
            split["sha256"][part] = hashlib.sha256(parents.tobytes()).hexdigest()
        return split

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
        """Bring images (N, H, W) from the model's scale to the stamp file's unit, float32."""
        return self.transform.inverse(torch.from_numpy(images)).numpy()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Crop and normalise a batch on its device, and augment it in training."""
        return self._finished(batch, augment=self.augment and self.trainer.training)

    def training_redshifts(self) -> np.ndarray:
        """Return the redshifts of the training part, (N,), NaN where unknown."""
        return self.stamps.columns["redshift"][self.parts["train"].rows]

    def _finished(self, batch: Batch, augment: bool = False) -> Batch:
        """Make of what a part gives what a model sees."""
        symmetry, shift = self._draws(batch.index) if augment else (None, None)
        stacks = {
            name: getattr(batch, name).float()
            for name in ("image", "weight", "psf")
            if getattr(batch, name) is not None
        }
        for name in stacks.keys() - {"psf"}:
            stacks[name] = crop(stacks[name], self.image_size, shift)
        if augment:
            stacks = {name: dihedral(stack, symmetry) for name, stack in stacks.items()}
        return self.transform(replace(batch, **stacks))

    def _draws(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draw symmetry and shift of each galaxy, functions of (seed, epoch, row) alone."""
        epoch = self.trainer.current_epoch
        if getattr(self, "_epoch", None) != epoch:
            rng, n = np.random.default_rng([self.seed, epoch, 1]), len(self.stamps)
            symmetry = rng.integers(8, size=n)
            shift = rng.integers(-self.margin, self.margin + 1, size=(n, 2))
            self._epoch = epoch
            self._symmetry, self._shift = (
                torch.from_numpy(numbers).to(index.device) for numbers in (symmetry, shift)
            )
        return self._symmetry[index], self._shift[index] if self.margin else None

    def _part(self, name: str, rows: np.ndarray) -> Part:
        """Make a part; only training stamps are shifted and need a margin."""
        margin = self.margin if name == "train" else 0
        if self.psf and "has_psf" in self.stamps.columns:
            rows = rows[self.stamps.columns["has_psf"][rows] > 0]
        return Part(self.stamps, rows, self.image_size + 2 * margin, self.psf)

    def _check_parts(self) -> None:
        """Check that the parts suffice for a training.

        Raises:
            GalgenError: if they do not.
        """
        train = len(self.parts["train"])
        if train < self.batch_size:
            raise GalgenError(
                f"data.batch_size={self.batch_size} is larger than the training part, which has "
                f"{train} of the {len(self.stamps)} stamps in {self.file}"
            )
        if not len(self.parts["val"]):
            raise GalgenError(f"{self.file}: too few galaxies for a validation part")

    def _parents(self) -> np.ndarray:
        return self.stamps.columns.get("galaxy_id", np.arange(len(self.stamps)))

    def redshift_statistics(self) -> dict | None:
        """Describe the redshifts of the training part, with a hash of all; None without any."""
        redshift = self.stamps.columns.get("redshift")
        if redshift is None:
            return None
        known = self.training_redshifts()
        known = known[np.isfinite(known)].astype(float)
        if not len(known):
            return None
        return {
            "sha256": hashlib.sha256(redshift.astype("<f4").tobytes()).hexdigest(),
            "min": known.min(),
            "max": known.max(),
            "mean": known.mean(),
            "std": known.std(),
        }

    def _zero_baseline(self, part: "Part") -> float:
        """Measure what an all-zero prediction scores, per galaxy."""
        total, n = 0.0, min(len(part), BASELINE_STAMPS)
        for start in range(0, n, READ_TOGETHER):
            batch = self._finished(part.batch(torch.arange(start, min(start + READ_TOGETHER, n))))
            counted = 1 if batch.weight is None else batch.weight
            total += float((batch.image.double().square() * counted).sum())
        return total / n

    def _read_into_memory(self, noise: float) -> None:
        wanted = [self.parts[part] for part in PARTS[:2]]
        item = self.cache_dtype.itemsize
        gigabytes = sum(
            len(part) * size**2 * item / 1e9 for part in wanted for size in part.stacks.values()
        )
        if self.psf:
            gigabytes += np.prod(self.stamps.stacks["psf"], dtype=float) * item / 1e9
        if gigabytes > self.cache_gb:
            log.warning(
                "the survey takes %.1f GB and data.cache_gb is %s: batches are read from disk",
                gigabytes,
                self.cache_gb,
            )
            return
        for part in wanted:
            part.allocate(self.cache_dtype, noise)
        for name in wanted[0].stacks:
            size = max(part.stacks[name] for part in wanted)
            for start in range(0, len(self.stamps), READ_TOGETHER):
                block = self.stamps.read(slice(start, start + READ_TOGETHER), size, name)
                for part in wanted:
                    part.fill(name, start, block)
        self.stamps.close()

    def _loader(self, name: str, shuffle: bool) -> DataLoader:
        part, trainer = self.parts[name], self.trainer
        ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        if self.cache == "device" and trainer is not None:
            part.move_to(trainer.strategy.root_device, *ranks)
        batches = EpochBatches(
            len(part), self.batch_size, self.seed, shuffle, *ranks, part.sharded, part.index.device
        )
        if name == "train":
            batches.go_on(*self.reached)
        workers = 0 if part.cached else self.num_workers
        return DataLoader(
            part,
            sampler=batches,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # else it takes a number from that of the noise
            pin_memory=torch.cuda.is_available() and part.index.device.type == "cpu",
        )
