"""The Frechet distance of two sets of features, as in pytorch-fid."""

import numpy
from scipy import linalg


def distance(a, b):
    """Computes `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))` of rows of features, in float64."""
    (m1, s1), (m2, s2) = moments(a), moments(b)
    root = linalg.sqrtm(s1 @ s2)
    # Rounding leaves a small imaginary part.
    overlap = numpy.trace(root.real)
    return float(((m1 - m2) ** 2).sum() + numpy.trace(s1) + numpy.trace(s2) - 2 * overlap)


def moments(rows):
    rows = rows.astype(numpy.float64)
    return rows.mean(axis=0), numpy.cov(rows, rowvar=False)
