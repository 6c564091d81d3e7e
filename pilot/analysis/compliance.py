"""The effect on those who were really handled as assigned, where some were not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.moments import FloatArray, Joint
from pilot.analysis.ratios import Ratio, fieller
from pilot.analysis.tails import log_t_upper, t_quantile, two_sided


@dataclass(frozen=True, slots=True)
class ComplierEffect:
    """Wald's instrumental-variable estimator.

    Attributes:
        ratio: The effect per customer whose handling the assignment changed, with its interval.
        assigned: The intention-to-treat difference of the outcome.
        received: Difference of the shares that received the pilot handling, or None where these do not vary.
        moved: That difference of shares.
    """

    ratio: Ratio
    assigned: MeanDifference
    received: MeanDifference | None
    moved: float


def complier_effect(
    joint: Joint, weights: npt.ArrayLike, level: float = 0.95, *, delta: bool = False
) -> ComplierEffect | None:
    """Effect on compliers: the difference of the outcome over the difference of the shares that received the handling.

    Args:
        joint: Moments of the outcome and of whether the pilot handling was received (1 or 0), of control and the pilot arm.
        weights: Of the strata; they need not sum to 1.
        level: Two-sided confidence level.
        delta: The interval of the delta method (that of two-stage least squares) instead of Fieller's.

    Returns:
        The effect; None where a cell has fewer than two units, nothing varies, or no interval is bounded because the
        assignment hardly moved the handling.

    Reference: Angrist, Imbens and Rubin 1996, JASA 91:444; Fieller 1954; Anderson and Rubin 1949, Ann. Math. Statist. 20:46.
    """
    if (joint.n < 2).any():
        return None
    share = np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    gap = share @ (joint.mean[1] - joint.mean[0])
    assigned, received = (
        mean_difference(joint.n, joint.mean[..., column], joint.cross[..., column, column], share) for column in (0, 1)
    )
    if assigned is None or gap[1] == 0:
        return None
    freedom = np.ravel(joint.n - 1).astype(np.float64)

    def spread(ratio: float) -> tuple[FloatArray, FloatArray]:
        turn = np.array([1.0, -ratio])
        squares = np.maximum(np.einsum("asij,i,j->as", joint.cross, turn, turn), 0.0)
        return np.ravel(share**2 * squares / (joint.n - 1) / joint.n), freedom

    ratio = fieller(float(gap[0]), float(gap[1]), spread, level)
    if delta:
        ratio = _delta(float(gap[0]), float(gap[1]), spread(float(gap[0] / gap[1])), level)
    return None if ratio is None else ComplierEffect(ratio, assigned, received, float(gap[1]))


def _delta(above: float, below: float, spread: tuple[FloatArray, FloatArray], level: float) -> Ratio | None:
    variances, df = spread
    variance = float(variances.sum())
    if variance <= 0:
        return None
    freedom = float(variance**2 / (variances**2 / df).sum())
    estimate, error = above / below, variance**0.5 / abs(below)
    half, t = t_quantile((1 + level) / 2, freedom) * error, estimate / error
    return Ratio(estimate, estimate - half, estimate + half, two_sided(log_t_upper(abs(t), freedom)), t, freedom, error)
