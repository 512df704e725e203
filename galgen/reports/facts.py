"""Facts about a run, read from its files, in words and tables."""

import functools
import re
from dataclasses import dataclass, field

from omegaconf import DictConfig, OmegaConf

from galgen.runs.run_config import NOT_CONTENT, flatten

QUANTITIES = {
    "loss": "loss",
    "reconstruction": "reconstruction term",
    "kl": "KL [nats]",
    "beta": "β",
    "redshift": "squared redshift error",
}
"""Columns of the result."""
NAMES = {"train": "training", "val": "validation"}
"""Of the parts of a survey."""
TRANSFORMS = {
    "peak": "peak: background subtracted, each galaxy divided by its peak",
    "physical": "none: pixels are linear in flux, divided by scale (in the stamp file's unit)",
    "asinh": "asinh(image / scale), scale in the stamp file's unit",
}
LONGEST = 100
"""Rows shown of a list."""
COMPUTED = ("fused",)
"""Arguments that set how something is computed, without changing the result."""


@dataclass
class Table:
    """Rows of text; the first cell of each names it."""

    title: str
    rows: list[list[str]]
    header: list[str] = field(default_factory=list)
    note: str = ""


def text(value) -> str:
    """Write a value as a reader wants it: four digits, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(text(item) for item in value)
    return str(value)


def words(node: DictConfig | dict | None) -> str:
    """Describe a config node: its class and its arguments."""
    if not node:
        return "none"
    package, _, name = str(node["_target_"]).rpartition(".")
    if package.startswith("galgen"):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    given = [
        f"{key} {text(value)}"
        for key, value in node.items()
        if not key.startswith("_") and key not in COMPUTED
    ]
    return f"{name} ({', '.join(given)})" if given else name


def beta_in_short(schedule: DictConfig) -> str:
    """Return the value of a constant beta, or the schedule's description."""
    constant = str(schedule._target_).endswith(".Constant")
    return text(schedule.beta) if constant else words(schedule)


def is_simulated(facts: dict) -> bool:
    """Say whether a run learned from simulated galaxies, whatever its survey is called."""
    return "simulated" in (facts.get("survey"), facts.get("attributes", {}).get("survey"))


def epochs(config: DictConfig, rows: list[dict], finished: bool) -> str:
    """Say how many epochs have ended, of how many."""
    ended = int(rows[-1]["epoch"]) if rows else 0
    wanted = OmegaConf.select(config, "trainer.max_epochs")
    if not isinstance(wanted, int) or wanted <= ended:
        return str(ended)
    return f"{ended} of at most {wanted}" if finished else f"{ended} of {wanted}"


def best_epoch(rows: list[dict]) -> dict:
    """Return the metrics of the epoch with the lowest validation loss; none before the first."""
    return min(
        (row for row in rows if "val/loss" in row), key=lambda row: row["val/loss"], default={}
    )


def survey_facts(config: DictConfig, facts: dict, pixel_scale: float | None) -> Table:
    """Describe the survey of a run."""
    attributes = facts.get("attributes", {})
    note = ": simulated galaxies, not observed ones" if is_simulated(facts) else ""
    points = [point for point in attributes.get("zero_point", []) if point is not None]
    bands = facts.get("bands", [])
    rows = {
        "Survey": f"{facts.get('survey', 'unknown')}{note}",
        "Recipe": attributes.get("recipe"),
        "Bands" if len(bands) > 1 else "Band": ", ".join(bands) or None,
        "Pixel scale": f"{pixel_scale:g} arcsec" if pixel_scale else None,
        "Unit": attributes.get("unit"),
        "Zero point": f"{', '.join(map(str, points))} mag (AB) of one unit" if points else None,
        **_stamps(facts),
        "Transform": _transform(facts["transform"]),
    }
    if "stamps" in facts:
        shift = OmegaConf.select(config, "data.max_shift")
        shifts = f", shifts of up to {shift} px" if shift else ""
        augmented = OmegaConf.select(config, "data.augment")
        rows["Augmentation"] = f"flips, quarter turns{shifts}" if augmented else "none"
    return _named("Survey", rows)


def model_facts(config: DictConfig, conditional: bool, parameters: int | None) -> Table:
    """Describe the model of a run."""
    rows = {
        "Model": f"{config.model.name}: {'' if conditional else 'un'}conditional",
        "Parameters": parameters and f"{parameters / 1e6:.3g} million",
        "Latent dimensions": config.model.latent_dim,
        "Width": f"{config.model.width} channels after the first convolution",
        "Code channels": config.model.get("code_channels"),
        "Normalisation": config.model.get("norm"),
        "Output": config.model.get("output"),
    }
    if conditional:
        rows["Model"] += " on redshift"
    return _named("Model", rows)


def training_facts(config: DictConfig, rows: list[dict], ended: str) -> Table:
    """Say how a run was trained."""
    get = functools.partial(OmegaConf.select, config)
    start, rate = get("init_from"), rows[-1].get("images_per_second") if rows else None
    values = {
        "Likelihood": f"{words(get('likelihood'))}, summed over pixels",
        "β schedule": words(get("beta_schedule")),
        "Weight of the redshift error": get("model.redshift_weight"),
        "Optimizer": words(get("optimizer")),
        "Learning-rate schedule": words(get("lr_schedule")) if get("lr_schedule") else "constant",
        "Batch size": get("data.batch_size"),
        "Epochs": ended,
        "Precision": get("trainer.precision"),
        "Seed": get("seed"),
        "Weights at the start": f"those of {start}" if start else None,
        "Speed": f"{text(rate)} images/s" if rate else None,
    }
    return _named("Training", values)


def result(config: DictConfig, facts: dict, rows: list[dict]) -> Table:
    """Set the best and the last epoch beside an all-zero prediction."""
    shown = [name for name in QUANTITIES if any(f"val/{name}" in row for row in rows)]
    table = Table("Result", [], ["", "epoch", *(QUANTITIES[name] for name in shown)])
    best = best_epoch(rows)
    for title, row in (("best epoch", best), ("last epoch", rows[-1])):
        for part in ("val", "train") if row else ():
            numbers = [text(row.get(f"{part}/{name}")) for name in shown]
            table.rows.append([f"{title}, {NAMES[part]}", text(int(row["epoch"])), *numbers])
    zero = (facts.get("squared_error_of_zero") or {}).get("val")
    if not zero or not best:
        return table
    if not str(config.likelihood._target_).endswith(".SquaredError"):
        table.note = (
            f"The squared error of an all-zero prediction is {text(zero)}. This reconstruction "
            "term is not a squared error but a negative log-likelihood, in nats."
        )
        return table
    numbers = [text(zero) if name == "reconstruction" else "" for name in shown]
    table.rows.append(["all-zero prediction, validation", "", *numbers])
    share = best["val/reconstruction"] / zero
    table.note = f"The best reconstruction term is {share:.1%} of an all-zero prediction's."
    return table


def differences(configs: dict[str, DictConfig]) -> Table:
    """Set the keys side by side in which the configs of runs differ.

    Args:
        configs: by the name of the run. Of keys that always have the same value, as a key and its
            interpolations do, the shortest is shown.
    """
    flat = [flatten(config) for config in configs.values()]
    columns: dict[tuple, str] = {}
    for key in sorted({key for config in flat for key in config}, key=lambda key: (len(key), key)):
        values = tuple(text(config.get(key)) for config in flat)
        if len(set(values)) > 1 and key not in NOT_CONTENT:
            columns.setdefault(values, key)
    rows = [[name, *cells] for name, *cells in zip(configs, *columns, strict=True)]
    return Table("What differs between the configs", rows, ["run", *columns.values()])


def tables_of(content, title: str = "") -> list[Table]:
    """Turn the content of a JSON file into tables.

    Args:
        content: numbers by name, rows as a list of dicts, and any nesting of these.
        title: of the table.
    """
    if isinstance(content, list) and content and all(map(_is_flat, content)):
        return [_table(title, [{"": str(n), **row} for n, row in enumerate(content)])]
    if isinstance(content, list):
        content = {str(number): value for number, value in enumerate(content)}
    if not isinstance(content, dict):
        content = {"value": content}
    if content and all(map(_is_flat, content.values())):
        return [_table(title, [{"": name, **row} for name, row in content.items()])]
    plain = {name: value for name, value in content.items() if _is_plain(value)}
    tables = [_table(title, [{"": n, " ": v} for n, v in plain.items()])] if plain else []
    for name, value in content.items():
        if name not in plain:
            tables += tables_of(value, f"{title}: {name}" if title else str(name))
    return tables


def _stamps(facts: dict) -> dict[str, str]:
    """Say how many stamps there are, in which part, at which redshifts."""
    rows, size = {}, facts.get("image_size")
    if "stamps" in facts:
        full = facts.get("stamp_size", size)
        cropped = f", cropped from {full} px" if full != size else ""
        rows["Stamps"] = f"{facts['stamps']} of {size} × {size} px{cropped}"
    if split := facts.get("split"):
        counts = [f"{n} {NAMES.get(part, part)}" for part, n in split["counts"].items()]
        rows["Split"] = f"{', '.join(counts)}; seed {split['seed']}"
    if redshift := facts.get("redshift"):
        low, high, mean, std = (redshift[name] for name in ("min", "max", "mean", "std"))
        rows["Redshift"] = (
            f"{low:.2f} to {high:.2f}, mean {mean:.2f}, standard deviation {std:.2f} (train)"
        )
    if facts.get("without_redshift"):
        rows["Left out"] = f"{facts['without_redshift']} galaxies of unknown redshift"
    return rows


def _transform(transform: dict) -> str:
    name = transform["name"]
    given = [f"{key} {text(value)}" for key, value in transform.items() if key != "name"]
    return "; ".join([TRANSFORMS.get(name, name), *given])


def _named(title: str, values: dict) -> Table:
    return Table(
        title, [[name, text(value)] for name, value in values.items() if value is not None]
    )


def _table(title: str, rows: list[dict]) -> Table:
    """Make a table of rows, a column for each key that one of them has."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    shown = [[text(row.get(column)) for column in columns] for row in rows[:LONGEST]]
    header = [str(column) for column in columns] if columns != ["", " "] else []
    left = len(rows) - len(shown)
    return Table(title, shown, header, f"There are {left} more rows in the file." if left else "")


def _is_plain(value) -> bool:
    if isinstance(value, list):
        return len(value) <= LONGEST and not any(isinstance(v, dict | list) for v in value)
    return not isinstance(value, dict)


def _is_flat(row) -> bool:
    return isinstance(row, dict) and all(_is_plain(value) for value in row.values())
