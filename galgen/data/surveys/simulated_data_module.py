"""The simulated survey, which a training draws where it is missing."""

from pathlib import Path

from galgen.data.data_module import SurveyDataModule
from galgen.files import cache_folder


class SimulatedDataModule(SurveyDataModule):
    """A simulated survey, drawn once with GalSim and kept in the cache folder.

    Args:
        galaxies: number of galaxies.
        survey_seed: seed of the survey.
        clumps: whether late types have star-forming clumps.
        processes: processes that draw; all cores where None.
        **arguments: as `SurveyDataModule`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        galaxies: int = 20_000,
        survey_seed: int = 0,
        clumps: bool = True,
        processes: int | None = None,
        **arguments,
    ):
        if galaxies < 1:
            raise ValueError(f"data.galaxies={galaxies}: it must be positive.")
        self.galaxies, self.survey_seed, self.clumps = galaxies, survey_seed, clumps
        self.processes = processes
        super().__init__(**arguments)

    def default_file(self) -> Path:
        """Return the survey's place in the cache folder, which its contents name.

        Raises:
            ValueError: if there is no image size to draw it in.
        """
        if self.image_size is None:
            raise ValueError("data.image_size is null, galaxies are drawn in stamps of some size")
        clumps = "" if self.clumps else "-noclumps"
        name = f"{self.name}{clumps}-{self.image_size}px-{self.galaxies}-seed{self.survey_seed}"
        return cache_folder() / f"{name}.h5"

    def prepare_data(self) -> None:
        """Draw the survey if it is not in the cache folder yet."""
        if self.image_size is None or self.file != self.default_file():
            return
        from galgen.data.preparation import prepare  # GalSim, for those who draw
        from galgen.data.surveys.simulated_source import SimulatedSource

        source = SimulatedSource(
            self.galaxies,
            self.image_size,
            self.survey_seed,
            self.clumps,
            processes=self.processes,
        )
        prepare(source, self.file, overwrite=True)
