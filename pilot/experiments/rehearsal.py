"""The whole design on the company's own past, hundreds of times: how often it cries wolf, what it sees, how alike its arms are.

Values of every customer are fetched once. Each time, the sample is drawn and the arms are assigned by the plan's own designs,
with the seed `rehearsal|SEED|NUMBER`, and its own analyses and its own rule are applied to counts and moments. No formula of
power is used anywhere: what `pilot.experiments.power` promises is put to the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pilot.analysis import Analysis, Comparison, Evidence, Need, NotEnoughData, Scale, clopper_pearson, standardised
from pilot.errors import InputError
from pilot.experiments.draw import assign_arms, draw_sample
from pilot.experiments.expectations import NO_SPREAD, Baseline
from pilot.experiments.past import NO_PAST, Found, Judge, moments_of
from pilot.experiments.plan import Plan
from pilot.experiments.power import margin_of
from pilot.experiments.sampling import Floats, Frame, Ints, random_keys

TIMES = 500
LEVEL = 0.95
"""Of the intervals that say how sure a rate of so many times is."""
NOT_ANALYSED = "no analysis of it is planned"
_GIVEN = frozenset({Need.COUNTS, Need.MOMENTS, Need.ASSIGNED})
"""What evidence of a rehearsal holds."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened, with the exact interval of its chance."""

    hits: int
    times: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, times: int) -> Rate:
        """So many of so many times."""
        return cls(hits, times, *(clopper_pearson(hits, times, LEVEL) if times else (0.0, 1.0)))

    @property
    def share(self) -> float:
        """The share of all times."""
        return self.hits / self.times if self.times else 0.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One planned analysis of one outcome in one pilot arm.

    Attributes:
        outcome, analysis, arm: Which.
        scale: Of the outcome.
        null: True difference at which every "shown" is a false alarm: none, or a worsening by the whole margin.
        nominal: The share of false alarms that the analysis allows.
        alarms: Those that there were.
        effect: True difference that was planted.
        shown: How often it was shown.
        lacking: How often there was too little data; the rates leave these out.
    """

    outcome: str
    analysis: str
    arm: str
    scale: str
    null: float
    nominal: float
    alarms: Rate
    effect: float
    shown: Rate
    lacking: int = 0

    @property
    def verdict(self) -> str:
        """`as_stated`, `too_many` or `cautious`, whichever the interval allows."""
        if self.alarms.low > self.nominal:
            return "too_many"
        return "cautious" if self.alarms.high < self.nominal else "as_stated"


@dataclass(frozen=True, slots=True)
class Likeness:
    """How far an arm was from control in one measure, in standard deviations, whatever the sign."""

    measure: str
    median: float
    worst: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came out.

    Attributes:
        times, seed: How often, and from which seed.
        frame, size: Customers there are, and drawn each time.
        tried: Analyses in the order of the plan.
        unknown: Outcomes that cannot be rehearsed, by key, with the reason.
        likeness: By measure.
        verdicts: How often the rule said what, where nothing differs (`same`) and where the planned effects are true
            (`planned`); empty where an outcome of the rule cannot be rehearsed.
        conditions: How often each condition of the rule was `met`, `refuted` or `open`, if the planned effects are true.
    """

    times: int
    seed: str
    frame: int
    size: int
    tried: tuple[Tried, ...]
    unknown: Mapping[str, str]
    likeness: tuple[Likeness, ...]
    verdicts: Mapping[str, Mapping[str, int]]
    conditions: Mapping[str, Mapping[str, int]]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rehearsal:
        """The rehearsal that `as_json` wrote."""
        tried = tuple(
            Tried(**{**item, "alarms": Rate(**item["alarms"]), "shown": Rate(**item["shown"])})
            for item in data["tried"]
        )
        likeness = tuple(Likeness(**item) for item in data["likeness"])
        return cls(**{**data, "tried": tried, "likeness": likeness})


@dataclass(frozen=True, eq=False)
class Design:
    """What is rehearsed: a plan, everybody who can be drawn, what they had before, and what applies the rule."""

    plan: Plan
    frame: Frame
    baselines: Sequence[Baseline]
    analyses: Mapping[str, Sequence[Analysis]]
    measures: Mapping[str, Floats]
    judge: Judge


def rehearse(
    design: Design,
    times: int = TIMES,
    seed: str = "1",
    effects: Mapping[str, float] | None = None,
    done: Callable[[int], None] = lambda number: None,
) -> Rehearsal:
    """Draw, assign, analyse and decide so many times.

    Args:
        design: What is rehearsed.
        times: How often.
        seed: Another seed, other draws; the same gives the same.
        effects: True differences to be planted, by outcome; by default those that are planned for.
        done: Is told how often it was done so far.

    Raises:
        InputError: There is no such outcome or it cannot have this effect, or the frame is too small for the plan.
    """
    wanted = dict(effects or {})
    known = {base.outcome.key for base in design.baselines}
    for key in wanted.keys() - known:
        raise InputError(f"there is no outcome {key!r}", place="effect", remedy=f"Outcomes: {', '.join(sorted(known))}")
    unknown = {base.outcome.key: why for base in design.baselines if (why := _why_not(base, design))}
    subjects = [
        _Subject.of(base, design, wanted.get(base.outcome.key))
        for base in design.baselines
        if base.outcome.key not in unknown
    ]
    tally = _Tally(design, {subject.key: subject for subject in subjects})
    for number in range(times):
        tally.add(_drawn(design, f"rehearsal|{seed}|{number}"))
        done(number + 1)
    return tally.result(times, seed, unknown)


def _why_not(base: Baseline, design: Design) -> str:
    """Why an outcome cannot be rehearsed; empty if it can."""
    analyses = design.analyses.get(base.outcome.key, ())
    if base.values is None or base.scale is None:
        return base.reason or NO_PAST
    if not analyses:
        return NOT_ANALYSED
    if not float(np.ptp(base.values)):
        return NO_SPREAD
    lacking = {need for analysis in analyses for need in analysis.asks(base.scale)} - _GIVEN
    return f"its analysis asks for {', '.join(sorted(lacking))}" if lacking else ""


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One draw: who, in which arm, in which stratum."""

    positions: Ints
    arms: Ints
    strata: Ints
    labels: tuple[str, ...]
    population: Ints
    assigned: Ints
    chance: Floats
    """A number from 0 to 1 for every unit."""


def _drawn(design: Design, seed: str) -> _Drawn:
    plan, frame = design.plan, design.frame
    positions = draw_sample(plan, frame, seed).positions
    units = frame.at(positions)
    arms = assign_arms(plan, units, seed).arms
    sizes = dict(zip(frame.labels, frame.sizes().tolist(), strict=True))
    shape = len(plan.arms), len(units.labels)
    assigned = np.bincount(arms * shape[1] + units.strata, minlength=shape[0] * shape[1]).reshape(shape)
    return _Drawn(
        positions,
        arms,
        units.strata,
        tuple(units.labels),
        np.array([sizes[label] for label in units.labels]),
        assigned,
        (random_keys(seed, "effect", len(units)) >> np.uint64(11)).astype(np.float64) * 2.0**-53,
    )


@dataclass(frozen=True, eq=False)
class _Subject:
    """One outcome that can be rehearsed."""

    base: Baseline
    values: Floats
    scale: Scale
    analyses: Sequence[Analysis]
    arms: tuple[str, ...]
    effect: float | None
    """Planted instead of the planned one."""

    @classmethod
    def of(cls, base: Baseline, design: Design, effect: float | None) -> _Subject:
        if base.values is None or base.scale is None:
            raise ValueError("asked for an outcome that has no past")
        arms = tuple(arm.key for arm in design.plan.arms)
        found = cls(base, base.values, base.scale, design.analyses[base.outcome.key], arms, effect)
        for analysis in found.analyses:
            found._flips(found.null(analysis))
            found._flips(found.planted(analysis))
        return found

    @property
    def key(self) -> str:
        return self.base.outcome.key

    def null(self, analysis: Analysis) -> float:
        """The true difference at which showing something is a false alarm."""
        margin = margin_of(analysis)
        return 0.0 if margin is None else -self.base.sign * margin

    def planted(self, analysis: Analysis) -> float:
        """The true difference that shall be shown."""
        planned = self.base.effect_for(against_margin=margin_of(analysis) is not None)
        return (planned or 0.0) if self.effect is None else self.effect

    @property
    def true(self) -> float:
        """The true difference when the rule is rehearsed with what is planned for."""
        return (self.base.effect or 0.0) if self.effect is None else self.effect

    def evidence(self, drawn: _Drawn, shift: float) -> Evidence:
        """What would have been found, had the pilot arms' values been shifted."""
        values = self._shifted(self.values[drawn.positions], drawn, shift)
        shape = len(self.arms), len(drawn.labels)
        counted = any(Need.COUNTS in analysis.asks(self.scale) for analysis in self.analyses)
        told: dict[str, Any] = {
            "strata": drawn.labels,
            "higher_is_better": self.base.outcome.higher_is_better,
            "assigned": drawn.assigned,
            "population": drawn.population,
        }
        if not counted:
            moments = moments_of(values, drawn.arms, drawn.strata, shape)
            return Evidence(self.key, self.scale, arms=self.arms, moments=moments, **told)
        levels = np.array([0.0, 1.0]) if self.scale is Scale.BINARY else np.unique(values)
        cells = (drawn.arms * shape[1] + drawn.strata) * len(levels) + np.searchsorted(levels, values)
        counts = np.bincount(cells, minlength=shape[0] * shape[1] * len(levels)).reshape(*shape, len(levels))
        return Evidence.from_counts(self.key, self.scale, self.arms, levels.tolist(), counts, **told)

    def _shifted(self, values: Floats, drawn: _Drawn, shift: float) -> Floats:
        pilot = drawn.arms > 0
        if not shift:
            return values
        if self.scale is not Scale.BINARY:
            return np.where(pilot, values + shift, values)
        turned = pilot & (values == (0.0 if shift > 0 else 1.0)) & (drawn.chance < self._flips(shift))
        return np.where(turned, 1 - values, values)

    def _flips(self, shift: float) -> float:
        """The chance with which a no becomes a yes (or the other way round), so that the share moves by the shift."""
        if self.scale is not Scale.BINARY or not shift:
            return 0.0
        share = float(self.values.mean())
        room = 1 - share if shift > 0 else share
        if abs(shift) > room:
            raise InputError(
                f"a share of {share:.3g} cannot move by {shift:g}",
                place=f"effect {self.key}",
                remedy="Give a smaller one",
            )
        return abs(shift) / room


@dataclass(eq=False)
class _Tally:
    """Counts what happens, draw by draw."""

    design: Design
    subjects: Mapping[str, _Subject]
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    gaps: list[Floats] = field(default_factory=list)

    def add(self, drawn: _Drawn) -> None:
        found: dict[tuple[str, str, float], list[Found]] = {}
        for subject in self.subjects.values():
            scenes: dict[float, Evidence] = {}
            for place, analysis in enumerate(subject.analyses):
                shifts = {subject.null(analysis), subject.planted(analysis), *self._rule_shifts(subject)}
                for shift in sorted(shifts):
                    scenes[shift] = scenes.get(shift) or subject.evidence(drawn, shift)
                    for arm in subject.arms[1:]:
                        comparison = analysis.compare(scenes[shift], arm)
                        found.setdefault((subject.key, arm, shift), []).append(comparison)
                        self._count(subject, place, analysis, shift, arm, comparison)
        self._decide(found)
        self.gaps.append(_gaps(self.design.measures, drawn))

    def _count(
        self, subject: _Subject, place: int, analysis: Analysis, shift: float, arm: str, comparison: Found
    ) -> None:
        for name, wanted in (("null", subject.null(analysis)), ("planted", subject.planted(analysis))):
            if shift == wanted:
                self.counts[(subject.key, str(place), arm, name, _outcome_of(comparison))] += 1

    def _rule_shifts(self, subject: _Subject) -> set[float]:
        rule = self.design.plan.decision
        return {0.0, subject.true} if subject.key in (rule.not_worse, rule.cheaper) else set()

    def _decide(self, found: Mapping[tuple[str, str, float], list[Found]]) -> None:
        rule = self.design.plan.decision
        deciding = [self.subjects[key] for key in {rule.not_worse, rule.cheaper} if key in self.subjects]
        for scene in ("same", "planned") if deciding else ():
            told = {
                arm.key: [
                    item
                    for subject in deciding
                    for item in found[(subject.key, arm.key, 0.0 if scene == "same" else subject.true)]
                ]
                for arm in self.design.plan.arms[1:]
            }
            judged = self.design.judge(self.design.plan, told)
            self.counts[("verdict", scene, judged.verdict)] += 1
            if scene == "planned":
                for name, state in judged.conditions.items():
                    self.counts[("condition", name, state)] += 1

    def result(self, times: int, seed: str, unknown: Mapping[str, str]) -> Rehearsal:
        rule = self.design.plan.decision
        complete = {rule.not_worse, rule.cheaper} <= self.subjects.keys()
        conditions = {
            name: {state: self.counts[("condition", name, state)] for state in ("met", "refuted", "open")}
            for name in ("not_worse", "cheaper")
            if getattr(rule, name) in self.subjects
        }
        said = ("roll_out", "do_not", "inconclusive")
        return Rehearsal(
            times,
            seed,
            len(self.design.frame),
            self.design.plan.sampling.size,
            tuple(self._tried()),
            dict(unknown),
            _likeness(list(self.design.measures), self.gaps),
            {scene: {word: self.counts[("verdict", scene, word)] for word in said} for scene in ("same", "planned")}
            if complete
            else {},
            conditions,
        )

    def _tried(self) -> list[Tried]:
        found = []
        for subject in self.subjects.values():
            for place, analysis in enumerate(subject.analyses):
                level = float(analysis.settings().get("level", 0.95))
                for arm in subject.arms[1:]:
                    about = subject.key, str(place), arm
                    rates = [
                        Rate.of(yes, yes + self.counts[(*about, name, "no")])
                        for name in ("null", "planted")
                        for yes in (self.counts[(*about, name, "yes")],)
                    ]
                    found.append(
                        Tried(
                            subject.key,
                            analysis.key,
                            arm,
                            subject.scale.value,
                            subject.null(analysis),
                            1 - level if margin_of(analysis) is None else (1 - level) / 2,
                            rates[0],
                            subject.planted(analysis),
                            rates[1],
                            self.counts[(*about, "null", "lacking")],
                        )
                    )
        return found


def _outcome_of(found: Found) -> str:
    """`yes` where something is shown, `no`, or `lacking`."""
    if isinstance(found, NotEnoughData):
        return "lacking"
    return "yes" if _shown(found) else "no"


def _shown(found: Comparison) -> bool:
    if found.margin is not None and found.passed is not None:
        return found.passed
    if found.p_value is not None and found.level is not None:
        return found.p_value < 1 - found.level
    low, high = found.low, found.high
    return (low is not None and low > 0) or (high is not None and high < 0)


def _gaps(measures: Mapping[str, Floats], drawn: _Drawn) -> Floats:
    """The largest standardised difference of any pilot arm from control, by measure; nan where there is none."""
    gaps = np.full(len(measures), np.nan)
    for place, values in enumerate(measures.values()):
        own = values[drawn.positions]
        known = ~np.isnan(own)
        moments = moments_of(
            own[known], drawn.arms[known], np.zeros(known.sum(), dtype=np.int64), (len(drawn.assigned), 1)
        )
        for arm in range(1, len(drawn.assigned)):
            pair = [0, arm]
            found = standardised(moments.n[pair, 0], moments.mean[pair, 0], moments.m2[pair, 0])
            if found is not None:
                gaps[place] = np.fmax(gaps[place], abs(found.difference))
    return gaps


def _likeness(names: Sequence[str], gaps: Sequence[Floats]) -> tuple[Likeness, ...]:
    table = np.array(gaps).reshape(len(gaps), len(names))
    known = [(name, column[~np.isnan(column)]) for name, column in zip(names, table.T, strict=True)]
    return tuple(Likeness(name, float(np.median(column)), float(column.max())) for name, column in known if len(column))
