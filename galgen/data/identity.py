"""The identity of a survey and its split, as a run's data.json keeps it."""

import hashlib

import numpy as np

from galgen.data.split import parents_of


def split_facts(survey) -> dict:
    """Describe the split of a survey: its shares and seed, counts and hashed ids of the parts.

    Args:
        survey: a data module that has been set up.
    """
    split = {"fractions": survey.split, "seed": survey.split_seed, "counts": {}, "sha256": {}}
    parents = parents_of(survey.stamps)
    for name, part in survey.parts.items():
        split["counts"][name] = len(part)
        ids = np.unique(parents[part.rows]).astype("<i8")
        split["sha256"][name] = hashlib.sha256(ids.tobytes()).hexdigest()
    return split


def redshift_statistics(survey) -> dict | None:
    """Describe the redshifts of the training part, with a hash of all; None without any.

    Args:
        survey: a data module that has been set up.
    """
    redshift = survey.stamps.columns.get("redshift")
    if redshift is None:
        return None
    known = survey.training_redshifts()
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
