"""Who is eligible for an experiment: now, step by step with a count at each, and when it was sealed.

Everybody who is not eligible is left out for the first reason that holds, in the order of `REASONS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pilot import config
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import SegmentRule
from pilot.customers.service import shared_values
from pilot.db import db
from pilot.errors import CheckFailed, PlanError, StateError
from pilot.experiments import frame as frames
from pilot.experiments.draw import designs_of
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan
from pilot.experiments.sampling import Frame
from pilot.plugins.manager import plugins

REASONS = ("other_rule", "no_address", "opted_out", "in_experiment", "lost", "same_entity")
"""Why a customer of the plan's segments is not eligible: the plan's rule does not take it, no mail can reach it, it does not
want to take part, it is in another experiment that goes on, it is lost, another customer of its legal entity is eligible."""

STRATUM_FIELDS = ("region", "language", "sales_rep", "sector", "size", "activity", "channel", "segment", "revenue_band")
"""What a sample can be layered by; `revenue_band` is the quarter of revenue a customer is in among the eligible."""
CLUSTER_FIELDS = ("sales_rep", "legal_entity", "mail_domain", "address", "city")
"""What customers that stay together can share."""
MEASURES = (
    "revenue_year", "revenue_before", "monetary", "frequency", "order_days", "recency_days", "tenure_days", "interval_days",
    "basket", "touches_year", "minutes_year", "cost_year", "contribution_year", "potential",
)  # fmt: skip
"""What designs can look at."""

UNKNOWN = "unknown"
"""The stratum of customers whose field is empty."""
STRATUM_SEPARATOR = " · "
ALONE = "alone: "
"""A customer whose cluster field is empty is a cluster of its own, called this and its ref."""

_SHARED = {"legal_entity": "legal_entity", "mail_domain": "domain", "address": "address"}


@dataclass(frozen=True, slots=True)
class Step:
    """One reason why customers are not eligible, how many were left out for it, and how many remained."""

    reason: str
    left_out: int
    remaining: int


@dataclass(frozen=True, eq=False)
class Eligible:
    """The customers a plan can draw from, and how they were found.

    Attributes:
        frame: Who is eligible.
        customer_ids: In the order of the frame.
        assessed: Customers of the plan's segments.
        steps: In the order of `REASONS`, those that left out nobody too.
    """

    frame: Frame
    customer_ids: Sequence[int]
    assessed: int
    steps: tuple[Step, ...]


def eligible(plan: Plan) -> Eligible:
    """Who is eligible under this plan now.

    Raises:
        PlanError: There is no profile, or it stands as of another day than the plan's.
    """
    _check_profile_day(plan)
    assessed, steps = _steps(_judged(plan).subquery())
    return Eligible(*_frame(plan), assessed, steps)


def _frame(plan: Plan) -> tuple[Frame, Sequence[int]]:
    """Everybody eligible as a frame, and the customer ids in its order."""
    columns, layers = columns_of(plan), len(plan.sampling.strata)
    chosen = chosen_query(plan)
    found = tuple(zip(*_plain(chosen), strict=True)) or ((),) * len(chosen.selected_columns)
    refs, ids, others = found[0], found[1], found[2:]
    keys = list(zip(*others[:layers], strict=True)) if layers else [()] * len(refs)
    labels = {key: STRATUM_SEPARATOR.join(value or UNKNOWN for value in key) for key in set(keys)}
    texts: list[Sequence[Any]] = [[labels[key] for key in keys]]
    if columns.clusters:
        texts.append([value or f"{ALONE}{ref}" for ref, value in zip(refs, others[layers], strict=True)])
    frame = frames.from_columns(refs, [*texts, *others[layers + columns.clusters :]], columns)
    if frame.refs == refs:
        return frame, ids
    by_ref = dict(zip(refs, ids, strict=True))
    return frame, [by_ref[ref] for ref in frame.refs]


def _plain(query: sa.Select[Any]) -> Sequence[tuple[Any, ...]]:
    """All rows as the driver gives them: texts and numbers need no other making, and there may be millions."""
    found: Sequence[tuple[Any, ...]] = db.session.connection().execute(query).cursor.fetchall()
    return found


def counts(plan: Plan) -> tuple[int, tuple[Step, ...]]:
    """How many customers the plan's segments have, and what is left of them step by step, without making the frame.

    Raises:
        PlanError: As `eligible`.
    """
    _check_profile_day(plan)
    return _steps(_judged(plan).subquery())


def columns_of(plan: Plan) -> frames.Columns:
    """What the frame of a plan has beside ref and stratum: what its designs look at."""
    measures = {name for design in designs_of(plan) for name in design.measures()}
    return frames.Columns(bool(plan.sampling.cluster), tuple(name for name in MEASURES if name in measures))


def chosen_query(plan: Plan) -> sa.Select[Any]:
    """Ref, customer id, strata, cluster and measures of everybody eligible under this plan, as a query."""
    return _chosen(plan, _judged(plan).subquery(), columns_of(plan))


def keep(frame: Frame) -> str:
    """Store the frame's file durably and return its digest."""
    return frames.store(frames_folder(), frames.to_csv(frame))


def sealed_frame(experiment: Experiment, plan: Plan) -> tuple[Frame, Sequence[int]]:
    """The present frame, if it is still the one that was sealed, and the customer ids in its order.

    Raises:
        CheckFailed: It is another one; the error counts who joined, left and changed. Or the sealed one's file is gone.
    """
    sealed = stored_file(experiment)
    _check_profile_day(plan)
    frame, ids = _frame(plan)
    if frames.to_csv(frame) != sealed:
        joined, left, changed = frames.difference(frames.from_csv(sealed), frame)
        raise CheckFailed(
            f"the customer base has changed since the seal: {joined:,} joined the frame, {left:,} left it, "
            f"{changed:,} changed in what the draw looks at",
            place=f"frame of {experiment.key}",
            remedy=f"Take the frame anew with a reason: pilot experiment amend {experiment.key} --reason TEXT",
        )
    return frame, ids


def stored_frame(experiment: Experiment) -> Frame:
    """The frame as it was sealed.

    Raises:
        CheckFailed: Its file is gone or was changed.
        StateError: Nothing has been sealed.
    """
    return frames.from_csv(stored_file(experiment))


def stored_file(experiment: Experiment) -> bytes:
    """The frame's file as it was sealed.

    Raises:
        CheckFailed: It is gone or was changed.
        StateError: Nothing has been sealed.
    """
    if experiment.frame_digest is None:
        raise StateError(f"the experiment {experiment.key} has no frame yet", remedy="Seal it first")
    return frames.fetch_file(frames_folder(), experiment.frame_digest)


def _judged(plan: Plan) -> sa.Select[Any]:
    """The customers of the plan's segments, each with the first reason why it is not eligible, or NULL."""
    population, profile = plan.population, CustomerProfile
    reasons: list[tuple[Any, Any]] = []
    if population.rule is not None:
        part: type[SegmentRule] = plugins().get("segment_rules", population.rule.part, place="population.rule.part")
        rule = part.restore(population.rule.settings, place="population.rule.settings").condition()
        reasons.append((sa.not_(sa.func.coalesce(rule, sa.false())), "other_rule"))
    reasons += [(Customer.email.is_(None), "no_address"), (Customer.opted_out_at.is_not(None), "opted_out")]
    reasons.append((Customer.id.in_(_held(plan.key)), "in_experiment"))
    if not population.keep_lost:
        reasons.append((profile.activity == "lost", "lost"))
    first = (
        sa.select(
            *(known(name) for name in _fields(plan)),
            Customer.id,
            Customer.ref,
            profile.revenue_year.label("by_revenue"),
            shared_values()["legal_entity"].label("entity"),
            sa.case(*reasons, else_=sa.null()).label("reason"),
        )
        .join(profile, profile.customer_id == Customer.id)
        .where(profile.segment.in_(population.segments))
    )
    if not population.one_per_entity:
        return first
    every = first.subquery()
    place = sa.func.row_number().over(
        partition_by=(every.c.reason.is_(None), every.c.entity), order_by=(every.c.by_revenue.desc(), every.c.ref)
    )
    double = every.c.reason.is_(None) & (sa.func.coalesce(every.c.entity, "") != "") & (place > 1)
    others = [column for column in every.c if column.key != "reason"]
    return sa.select(*others, sa.case((double, "same_entity"), else_=every.c.reason).label("reason"))


def _held(key: str) -> sa.Select[int]:
    """The customers of other experiments that go on."""
    going_on = sa.select(Unit.customer_id).join(Experiment, Experiment.id == Unit.experiment_id)
    return going_on.where(Experiment.state.in_(("drawn", "running")), Experiment.key != key)


def _fields(plan: Plan) -> list[str]:
    """The fields a frame needs of each customer, once each; `revenue_band` is made of the others."""
    columns, sampling = columns_of(plan), plan.sampling
    names = [*sampling.strata, *([sampling.cluster] if columns.clusters else []), *columns.measures]
    return [name for name in dict.fromkeys(names) if name != "revenue_band"]


def known(name: str) -> sa.ColumnElement[Any]:
    """A field of customer or profile as an expression."""
    if name in _SHARED:
        found: sa.ColumnElement[Any] = sa.func.nullif(shared_values()[_SHARED[name]], "")
    elif name == "tenure_days":
        found = _days(CustomerProfile.as_of) - _days(CustomerProfile.first_order)
    elif name == "basket":
        found = CustomerProfile.monetary / sa.func.nullif(CustomerProfile.frequency, 0)
    else:
        found = getattr(CustomerProfile if hasattr(CustomerProfile, name) else Customer, name)
    return found.label(name)


def _days(day: Any) -> sa.ColumnElement[Any]:
    """A date as a number of days, on either database."""
    if db.session.get_bind().dialect.name == "sqlite":
        return sa.func.julianday(day)
    return sa.func.extract("epoch", sa.cast(day, sa.DateTime)) / 86400


def _steps(judged: sa.Subquery) -> tuple[int, tuple[Step, ...]]:
    rows = db.session.execute(sa.select(judged.c.reason, sa.func.count()).group_by(judged.c.reason))
    by_reason = {row[0]: row[1] for row in rows}
    assessed = remaining = sum(by_reason.values())
    steps = []
    for reason in REASONS:
        left_out = by_reason.get(reason, 0)
        remaining -= left_out
        steps.append(Step(reason, left_out, remaining))
    return assessed, tuple(steps)


def _chosen(plan: Plan, judged: sa.Subquery, columns: frames.Columns) -> sa.Select[Any]:
    """Ref, id and the values of the frame's columns of everybody eligible."""
    chosen = sa.select(judged).where(judged.c.reason.is_(None)).subquery()
    band = (sa.func.rank().over(order_by=chosen.c.by_revenue) - 1) * 4 // sa.func.count().over() + 1
    strata = [
        sa.literal("revenue ") + sa.cast(band, sa.String) + sa.literal("/4")
        if name == "revenue_band"
        else chosen.c[name]
        for name in plan.sampling.strata
    ]
    clusters = [chosen.c[plan.sampling.cluster]] if columns.clusters else []
    return sa.select(chosen.c.ref, chosen.c.id, *strata, *clusters, *(chosen.c[name] for name in columns.measures))


def _check_profile_day(plan: Plan) -> None:
    days = set(db.session.scalars(sa.select(CustomerProfile.as_of).distinct()))
    if days != {plan.population.as_of}:
        stand = f"stand as of {', '.join(str(day) for day in sorted(days))}" if days else "have not been made"
        raise PlanError(
            f"the profiles {stand}, not as of {plan.population.as_of}",
            place=f"plan of {plan.key}: population.as_of",
            remedy="Rebuild profiles and segments as of that day, or plan with the day they have",
        )


def frames_folder() -> Path:
    """Where the files of the seals lie."""
    return config.current().data_dir / "frames"
