"""Built-in outcomes: answers, orders and touches turned into counts and moments by arm and stratum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pilot.api import Evidence, InputError, Moments, Need, Outcome, Plan, Scale, Scope, hookimpl
from pilot.customers.orderstore import Measure, MomentRow, store
from pilot.experiments import service as experiments
from pilot.surveys import service as surveys

_YES_NO = (0.0, 1.0)


@dataclass(frozen=True)
class SurveyScore(Outcome):
    """The score of a survey question, from completed answers.

    Args:
        question: Key of the question.
        suffix: One of the question type's outcomes: empty for the question itself, or e.g. a row of a grid.
    """

    key = "survey-score"
    label = "Score of a survey question"

    question: str
    suffix: str = ""

    def scale(self, plan: Plan) -> Scale:
        """What the question type says."""
        return surveys.planned_scale(plan, self.question, self.suffix)[0]

    def limits(self, plan: Plan) -> tuple[float, float] | None:
        """The lowest and the highest score of the question."""
        levels = surveys.planned_scale(plan, self.question, self.suffix)[1]
        return levels[0], levels[-1]

    def evidence(self, scope: Scope, name: str, higher_is_better: bool, needs: frozenset[Need]) -> Evidence:
        """Counts of every possible score; moments follow from them."""
        scale, levels = surveys.rating_scale(scope.experiment.id, self.question, self.suffix)
        rows = surveys.rating_counts(scope.experiment.id, self.question, self.suffix)
        return _counted(scope, name, higher_is_better, scale, levels, ((r.arm, r.stratum, r.level, r.n) for r in rows))


@dataclass(frozen=True)
class SurveyShare(Outcome):
    """The share of completed answers with a score of at least `at_least`.

    Args:
        question: Key of the question.
        at_least: The lowest score that counts as yes.
        suffix: As in `survey-score`.
    """

    key = "survey-share"
    label = "Share of high scores of a survey question"

    question: str
    at_least: float
    suffix: str = ""

    def scale(self, plan: Plan) -> Scale:
        """Yes or no, if there is such a question and its scores lie on both sides of the threshold."""
        levels = surveys.planned_scale(plan, self.question, self.suffix)[1]
        if not levels[0] < self.at_least <= levels[-1]:
            raise InputError(
                f"{'every' if self.at_least <= levels[0] else 'no'} answer to {self.question!r} is {self.at_least:g} "
                "or more: the arms could not differ",
                place="at_least",
                remedy=f"Its scores go from {levels[0]:g} to {levels[-1]:g}: give one above the lowest",
            )
        return Scale.BINARY

    def evidence(self, scope: Scope, name: str, higher_is_better: bool, needs: frozenset[Need]) -> Evidence:
        """Counts of yes and no among those who answered the question."""
        rows = surveys.rating_counts(scope.experiment.id, self.question, self.suffix)
        yes_no = ((row.arm, row.stratum, float(row.level >= self.at_least), row.n) for row in rows)
        return _counted(scope, name, higher_is_better, Scale.BINARY, _YES_NO, yes_no)


class _Facts(Outcome):
    """Orders or touches of all assigned units in the handling window; who has none counts as zero."""

    offers = frozenset({Need.MOMENTS, Need.ASSIGNED})

    measure: ClassVar[Measure]
    kind: ClassVar[Scale]

    def scale(self, plan: Plan) -> Scale:
        """Always the same."""
        return self.kind

    def past(self, refs: Sequence[str], start: date, end: date) -> npt.NDArray[np.float64]:
        """From the same facts of earlier days."""
        return np.array(store().values(refs, self.measure, start, end))

    def evidence(self, scope: Scope, name: str, higher_is_better: bool, needs: frozenset[Need]) -> Evidence:
        """Moments, in one pass over the facts of the window."""
        rows = store().moments(_units(scope), self.measure, scope.start, scope.end)
        assigned, population = _sizes(scope)
        return Evidence(
            outcome=name,
            scale=self.kind,
            higher_is_better=higher_is_better,
            arms=scope.arms,
            strata=scope.strata,
            assigned=assigned,
            population=population,
            moments=_moments(scope, rows),
        )


@dataclass(frozen=True)
class CostToServe(_Facts):
    """What the touches with a customer cost."""

    key = "cost-to-serve"
    label = "Cost to serve"
    facts = "touches"
    measure = Measure.COST
    kind = Scale.MONEY


@dataclass(frozen=True)
class Revenue(_Facts):
    """Money of the orders that were not cancelled."""

    key = "revenue"
    label = "Revenue"
    facts = "orders"
    measure = Measure.REVENUE
    kind = Scale.MONEY


@dataclass(frozen=True)
class Orders(_Facts):
    """Number of orders that were not cancelled."""

    key = "orders"
    label = "Number of orders"
    facts = "orders"
    measure = Measure.ORDERS
    kind = Scale.COUNT


@dataclass(frozen=True)
class Retained(Outcome):
    """Whether a customer ordered at least once."""

    key = "retained"
    label = "Ordered in the period"
    facts = "orders"

    def scale(self, plan: Plan) -> Scale:
        """Yes or no."""
        return Scale.BINARY

    def past(self, refs: Sequence[str], start: date, end: date) -> npt.NDArray[np.float64]:
        """Who ordered in earlier days."""
        return np.array(store().values(refs, Measure.RETAINED, start, end))

    def evidence(self, scope: Scope, name: str, higher_is_better: bool, needs: frozenset[Need]) -> Evidence:
        """Counts of yes and no among all assigned units."""
        shares = store().shares(_units(scope), scope.start, scope.end)
        yes = ((row.arm, row.stratum, 1.0, row.yes) for row in shares)
        no = ((row.arm, row.stratum, 0.0, row.n - row.yes) for row in shares)
        return _counted(scope, name, higher_is_better, Scale.BINARY, _YES_NO, [*yes, *no])


@hookimpl
def register_outcomes() -> list[type[Outcome]]:
    """The built-in outcomes."""
    return [SurveyScore, SurveyShare, CostToServe, Revenue, Orders, Retained]


def _units(scope: Scope) -> list[tuple[str, str, str]]:
    return [(unit.ref, unit.arm, unit.stratum) for unit in experiments.units(scope.experiment)]


def _sizes(scope: Scope) -> tuple[Any, Any]:
    """Units per arm and stratum, and frame units per stratum."""
    layers = {layer.label: layer for layer in experiments.layers(scope.experiment)}
    assigned = [[layers[label].assigned.get(arm, 0) for label in scope.strata] for arm in scope.arms]
    return np.asarray(assigned, dtype=np.int64), np.asarray([layers[label].population for label in scope.strata])


def _counted(
    scope: Scope,
    name: str,
    higher_is_better: bool,
    scale: Scale,
    levels: Sequence[float],
    rows: Iterable[tuple[str, str, float, int]],
) -> Evidence:
    """Evidence from rows of arm, stratum, level and number."""
    counts = np.zeros((len(scope.arms), len(scope.strata), len(levels)), dtype=np.int64)
    places = {float(level): place for place, level in enumerate(levels)}
    for arm, stratum, level, n in rows:
        if level not in places:
            raise InputError(f"the score {level:g} is none of the possible ones", place=name)
        counts[scope.arms.index(arm), scope.strata.index(stratum), places[level]] += n
    assigned, population = _sizes(scope)
    return Evidence.from_counts(
        name,
        scale,
        scope.arms,
        levels,
        counts,
        strata=scope.strata,
        higher_is_better=higher_is_better,
        assigned=assigned,
        population=population,
    )


def _moments(scope: Scope, rows: Iterable[MomentRow]) -> Moments:
    """Moments in the order of the scope; a cell without units has no mean."""
    shape = (len(scope.arms), len(scope.strata))
    n, mean, m2 = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.zeros(shape)
    for row in rows:
        cell = scope.arms.index(row.arm), scope.strata.index(row.stratum)
        n[cell], mean[cell], m2[cell] = row.n, row.mean, row.m2
    return Moments(n, mean, m2)
