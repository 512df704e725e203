"""The simulated survey, which a training draws where it is missing."""

from collections.abc import Sequence
from pathlib import Path

from galgen.data.data_module import SurveyDataModule
from galgen.files import cache_folder


class SimulatedDataModule(SurveyDataModule):
    """A simulated survey, drawn once with GalSim and kept in the cache folder.

    Args:
        galaxies: number of galaxies.
        bands: `hst`, `lsst`, or names of bands of one of them.
        survey_seed: seed of the survey.
        structure: whether galaxies have arms, bars, rings, clumps, dust, tides and companions.
        processes: processes that draw; all cores where None.
        **arguments: as `SurveyDataModule`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        galaxies: int = 20_000,
        bands: str | Sequence[str] = ("F814W",),
        survey_seed: int = 0,
        structure: bool = True,
        processes: int | None = None,
        **arguments,
    ):
        if galaxies < 1:
            raise ValueError(f"data.galaxies={galaxies}: it must be positive.")
        self.galaxies, self.survey_seed, self.structure = galaxies, survey_seed, structure
        self.processes = processes
        super().__init__(bands=bands, **arguments)

    def default_file(self) -> Path:
        """Return the survey's place in the cache folder, which its contents name.

        Raises:
            ValueError: if there is no image size to draw it in.
        """
        if self.image_size is None:
            raise ValueError("data.image_size is null, galaxies are drawn in stamps of some size")
        parts = [self.name, *([] if self.structure else ["smooth"]), *self.bands]
        parts += [f"{self.image_size}px", str(self.galaxies), f"seed{self.survey_seed}"]
        return cache_folder() / f"{'-'.join(parts)}.h5"

    def prepare_data(self) -> None:
        """Draw the survey if it is not in the cache folder yet."""
        if self.image_size is None or self.file != self.default_file():
            return
        from galgen.data.preparation import prepare  # GalSim, for those who draw
        from galgen.data.surveys.simulated.simulated_source import SimulatedSource

        source = SimulatedSource(
            self.galaxies,
            self.image_size,
            self.bands,
            self.survey_seed,
            self.structure,
            processes=self.processes,
        )
        prepare(source, self.file, overwrite=True)
