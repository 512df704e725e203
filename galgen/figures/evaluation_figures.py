"""All figures of an evaluation."""

from matplotlib.figure import Figure

from galgen.evaluation.evaluation import Result
from galgen.figures.evaluation_colours import select_colours
from galgen.figures.evaluation_neighbours import select_neighbours
from galgen.figures.evaluation_power import select_power
from galgen.figures.evaluation_redshift import select_redshift
from galgen.figures.evaluation_size_magnitude import select_size_magnitude
from galgen.figures.evaluation_statistics import select_statistics
from galgen.runs.trained_run import TrainedRun

FIGURES = (
    select_statistics,
    select_power,
    select_redshift,
    select_colours,
    select_size_magnitude,
    select_neighbours,
)
"""Functions of an `Evaluated` that return figures by name."""
SAMPLES = {"real": "survey", "posterior": "posterior samples", "sersic": "Sérsic profiles"}
"""Labels of samples that are drawn from no prior."""
IN_ARCSEC = ("sigma", "half_light_radius")


class Evaluated:
    """An evaluation as its figures need it.

    Args:
        result: the evaluation's result.
        run: the run that was evaluated.

    Attributes:
        result: the evaluation's result.
        run: the run that was evaluated.
        samples: those that are drawn, by name, the survey's, `real`, first.
        labels: of these samples.
        statistics: names of those that were compared.
        units: of statistics.
        title: a description of the comparison.
    """

    def __init__(self, result: Result, run: TrainedRun):
        self.result, self.run, facts = result, run, result.facts
        real, others = result.samples["real"], result.samples.items()
        self.samples = {"real": real} | {n: s for n, s in others if n != "training"}
        self.labels = {
            name: SAMPLES.get(name) or f"prior: {run.priors[name].label}" for name in self.samples
        }
        self.statistics = facts["statistics"]
        self.units = dict.fromkeys(IN_ARCSEC, "arcsec" if run.pixel_scale else "px")
        self.units |= {"magnitude": "AB", "log_flux": run.unit}
        simulated = " (simulated)" if facts["simulated"] else ""
        self.title = f"survey '{facts['survey']}'{simulated}: {facts['compared']}"


def draw_evaluation(result: Result, run: TrainedRun) -> dict[str, Figure]:
    """Draw an evaluation.

    Args:
        result: the evaluation's result.
        run: the run that was evaluated.

    Returns:
        Figures by name.
    """
    shown = Evaluated(result, run)
    return {name: figure for select in FIGURES for name, figure in select(shown).items()}
