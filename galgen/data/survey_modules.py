"""The surveys: where the stamps of each come from."""

from pathlib import Path

from galgen.data.data_module import SurveyDataModule
from galgen.files import cache_folder

COSMOS_PIXEL_SCALE = 0.03
"""Of the release for GalSim, arcsec, and so of the original project's files."""


class CosmosDataModule(SurveyDataModule):
    """HST/ACS F814W < 25.2 COSMOS galaxies with photometric redshifts.

    Arguments as `SurveyDataModule`.

    Source: Zenodo record 3242143, the sample for GalSim.
    """

    pixel_scale = COSMOS_PIXEL_SCALE

    how_to_get = (
        "python -m galgen.prepare data=cosmos makes it from public data, or give data.file=<file>: "
        "square stamps in a data set of rank 3, their redshifts in one of rank 1"
    )


class DeepFieldDataModule(SurveyDataModule):
    """The brighter COSMOS sample, F814W < 23.5, called "deep field" by the original project.

    Arguments as `SurveyDataModule`.
    """

    pixel_scale = COSMOS_PIXEL_SCALE

    how_to_get = (
        "python -m galgen.prepare data=deepfield makes it from public data, or give "
        "data.file=<file>: square stamps in a data set of rank 3"
    )


class MosaicDataModule(SurveyDataModule):
    """Galaxies cut from a mosaic of one's own; arguments as `SurveyDataModule`."""

    how_to_get = "python -m galgen.prepare data=mosaic mosaic.image=<FITS file> makes it"


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

    how_to_get = "python -m galgen.prepare draws it, as does a training without data.file"

    def __init__(
        self,
        galaxies: int = 20_000,
        survey_seed: int = 0,
        clumps: bool = True,
        processes: int | None = None,
        **arguments,
    ):
        if galaxies < 1:
            raise ValueError(f"data.galaxies is {galaxies}, it must be positive")
        self.galaxies, self.survey_seed, self.clumps = galaxies, survey_seed, clumps
        self.processes = processes
        super().__init__(**arguments)

    def default_file(self) -> Path:
        """Return the survey's place in the cache folder, which its contents name."""
        clumps = "" if self.clumps else "-noclumps"
        name = f"{self.name}{clumps}-{self.image_size}px-{self.galaxies}-seed{self.survey_seed}"
        return cache_folder() / f"{name}.h5"

    def prepare_data(self) -> None:
        """Draw the survey if it is not in the cache folder yet."""
        if self.file == self.default_file():
            from galgen.data.preparation import prepare  # GalSim, for those who draw
            from galgen.data.surveys.simulated import SimulatedSource

            source = SimulatedSource(
                self.galaxies,
                self.image_size,
                self.survey_seed,
                self.clumps,
                processes=self.processes,
            )
            prepare(source, self.file, overwrite=True)
