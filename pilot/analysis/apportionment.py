"""Whole numbers in given proportions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder (Hamilton's method).

    Every part is its exact quota rounded down or up and the sum is exact. Computed in fractions of the
    decimal numbers as they are written, so no rounding error decides; ties go to the earlier part.

    Args:
        total: What is split, at least 0.
        weights: Not negative, not all zero.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    whole = sum(exact)
    quotas = [total * weight / whole for weight in exact]
    parts = [quota.numerator // quota.denominator for quota in quotas]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - quotas[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts
