"""Planning with missing answers: the chance that bounds, or a conclusion under a shift, still say something.

Bounds are computed from the expected answers themselves, by the functions that compute them from data. What is expected is
not averaged over: rates and shares are those of the plan.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from pilot.analysis.means import mean_difference
from pilot.analysis.missing import Bounds, Incomplete, lee_bounds
from pilot.analysis.moments import FloatArray
from pilot.analysis.noncentral import noncentral_t
from pilot.analysis.sharepower import check_shares
from pilot.analysis.sizing import Expected
from pilot.analysis.tails import normal_quantile, t_quantile
from pilot.errors import InputError

_DEVIATIONS = [normal_quantile((k + 0.5) / 40) for k in range(40)]
"""Deviations from what is expected, in standard deviations, of which each is as likely."""


def expected_answers(expected: Expected, effect: float) -> tuple[FloatArray, FloatArray]:
    """The levels, and the expected shares of them by arm, control first.

    The pilot arm's are control's with all odds of a higher answer multiplied alike, so that the mean differs by `effect`.
    Without levels the answers are yes and no.

    Raises:
        InputError: Neither levels nor a share of yes are given, or no answers have such a mean.
    """
    if not expected.levels:
        share = expected.centre
        check_shares(share, share + effect)
        return np.array([0.0, 1.0]), np.array([[1 - share, share], [1 - share - effect, share + effect]])
    from scipy.optimize import brentq

    levels, control = np.asarray(expected.levels), np.asarray(expected.shares)
    wanted = float(levels @ control) + effect
    used = levels[control > 0]
    if not used.min() < wanted < used.max():
        raise InputError(
            f"a mean of {wanted:g} is not between the lowest and the highest level expected", place="effect"
        )
    below = np.cumsum(control)[:-1]

    def shifted(log_odds: float) -> FloatArray:
        odds = below * math.exp(-log_odds)
        return np.diff(np.concatenate([[0.0], odds / (odds + 1 - below), [1.0]]))

    log_odds = brentq(lambda shift: float(levels @ shifted(shift)) - wanted, -50.0, 50.0, xtol=1e-13, rtol=1e-14)
    return levels, np.array([control, shifted(float(log_odds))])


def response_of(expected: Expected) -> FloatArray:
    """Expected response rates by arm.

    Raises:
        InputError: They are not given.
    """
    if expected.response is None:
        raise InputError(
            "the expected shares of customers who answer are needed, by arm",
            place="response",
            remedy="Such as (0.5, 0.6)",
        )
    return np.asarray(expected.response)


def bounds_power(bounds: Bounds, level: float) -> float:
    """The chance that the interval of bounds like these excludes 0, by the normal law."""
    low, high = bounds.interval(level)
    return float(ndtr(low / bounds.errors[0]) + ndtr(-high / bounds.errors[1]))


def lee_power(expected: Expected, effect: float, n: tuple[float, float], level: float) -> float:
    """The chance that the interval of Lee's bounds excludes 0.

    It is averaged over the response rates that may be seen: where they are nearly alike, chance decides how much of which
    arm is cut. For each of them the bounds have the normal law, as if the rates were known.

    Args:
        expected: Levels and shares of the answers, or the share of yes; and the response rates.
        effect: True difference of the means of those who answer.
        n: Answers of control and of the pilot arm.
        level: Two-sided confidence level.

    Raises:
        InputError: `expected` lacks something, or no answers have such a mean.
    """
    rates, answers = response_of(expected), np.asarray(n)
    levels, shares = expected_answers(expected, effect)
    units, doubt = answers / rates, (1 - rates) / answers  # the latter: variances of the logarithms of the rates
    total = float(doubt.sum())
    chances = []
    for z in _DEVIATIONS if total > 0 else [0.0]:
        apart = z * np.array([-1.0, 1.0]) * doubt / math.sqrt(total or 1.0)
        seen = np.minimum(rates * np.exp(apart), 1.0)
        counts = shares * (units * seen)[:, None]
        found = lee_bounds(
            counts, levels, np.maximum(units, counts.sum(axis=1))
        )  # equal but for rounding if all answer
        low, high = found.bounds.interval(level)
        chances.append(float(ndtr(low / found.spreads[0]) + ndtr(-high / found.spreads[1])))
    return float(np.mean(chances))


def manski_power(
    expected: Expected,
    effect: float,
    n: tuple[float, float],
    level: float,
    ends: tuple[float | None, float | None] = (None, None),
) -> float:
    """The chance that the interval of the worst-case bounds excludes 0.

    Args:
        expected: Levels and shares of the answers, or the share of yes; and the response rates.
        effect: True difference of the means of those who answer.
        n: Answers of control and of the pilot arm.
        level: Two-sided confidence level.
        ends: Lowest and highest value there can be; by default the lowest and highest level.

    Raises:
        InputError: As for `lee_power`; or an arm has fewer than two units.
    """
    rates, answers = response_of(expected), np.asarray(n)
    levels, shares = expected_answers(expected, effect)
    lowest, highest = (levels[end] if given is None else given for end, given in zip((0, -1), ends, strict=True))
    units, mean = answers / rates, shares @ levels
    squares = shares @ levels**2 - mean**2
    found = []
    for fill in (np.array([highest, lowest]), np.array([lowest, highest])):
        m2 = units * rates * (squares + (1 - rates) * (mean - fill) ** 2)
        found.append(mean_difference(units, rates * mean + (1 - rates) * fill, m2))
    low, high = found
    if low is None or high is None:
        raise InputError("a spread needs at least two units in each arm", place="n", remedy="Plan more units")
    return bounds_power(Bounds(low.estimate, high.estimate, (low.standard_error, high.standard_error)), level)


def tipping_power(
    expected: Expected, effect: float, n: tuple[float, float], level: float, shift: float, margin: float | None
) -> float:
    """The chance that a conclusion stands although the pilot arm's missing answers lie a shift away, against it.

    Args:
        expected: Spread and response rates.
        effect: True difference of the means of those who answer; with a margin, positive is better.
        n: Answers of control and of the pilot arm.
        level: Two-sided confidence level.
        shift: How far missing answers may lie from those given.
        margin: How much worse is acceptable; None where the conclusion is a difference.

    Raises:
        InputError: `expected` lacks something, or an arm has fewer than two answers.
    """
    answers, spreads = np.asarray(n)[:, None], np.asarray(expected.spreads)[:, None]
    size = effect if margin is not None else abs(effect)
    mean = np.array([[0.0], [size]])
    known = Incomplete(answers, mean, spreads**2 * (answers - 1), answers / response_of(expected)[:, None], np.ones(1))
    found = known.shifted(0.0, -shift)
    if found is None:
        raise InputError("a spread needs at least two units in each arm", place="n", remedy="Plan more units")
    edge, df, error = t_quantile((1 + level) / 2, found.df), found.df, found.standard_error
    shown = noncentral_t(-edge, df, -(found.estimate + (margin or 0.0)) / error)
    if margin is not None:
        return shown
    return shown + noncentral_t(-edge, df, (2 * size - found.estimate) / error)
