"""The rehearsal of a whole design beside a bare loop of numpy permutations, in one run.

The frame and its values are made here: skewed money, a cost, a yes or no. The bare loop permutes as many customers as are drawn
and takes the difference of two means of each outcome: no sample, no strata, no intervals, no rule, no likeness.

    python benchmarks/rehearsal.py [--times 500] [--size 2000] [--frame 5000 50000 500000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pilot.analysis import Newcombe, NonInferiority, Scale, StratifiedDifference
from pilot.app import create_app
from pilot.config import load
from pilot.experiments.expectations import Baseline
from pilot.experiments.plan import Plan
from pilot.experiments.rehearsal import Design, rehearse
from pilot.experiments.sampling import Frame
from pilot.reports.past import judge

GOAL = 20.0
"""Seconds of 500 re-draws of 2,000 customers."""
STRATA = 12
PLAN = {
    "key": "bench",
    "name": "Bench",
    "survey": "none",
    "population": {"segments": ["small"], "as_of": "2026-03-31"},
    "arms": [
        {"key": "control", "label": "Control", "channel": "field-rep", "share": 0.5},
        {"key": "pilot", "label": "Pilot", "channel": "service-desk", "share": 0.5},
    ],
    "calendar": {"start": "2026-04-01", "end": "2026-07-01", "survey_until": "2026-07-22"},
    "outcomes": [
        {"key": "revenue", "label": "Revenue", "source": {"part": "revenue"}, "margin": 20, "margin_reason": "Bench"},
        {"key": "cost", "label": "Cost", "source": {"part": "cost-to-serve"}, "higher_is_better": False},
        {"key": "retained", "label": "Retained", "source": {"part": "retained"}},
    ],
    "analyses": [
        {"outcome": "revenue", "analysis": {"part": "non-inferiority", "settings": {"margin": 20}}},
        {"outcome": "cost", "analysis": {"part": "stratified-difference"}},
        {"outcome": "retained", "analysis": {"part": "newcombe"}},
    ],
    "decision": {"not_worse": "revenue", "cheaper": "cost"},
}

Floats = npt.NDArray[np.float64]


def design(frame_size: int, size: int) -> Design:
    """A plan on customers in strata, with a past of three outcomes and ten measures."""
    draw = np.random.default_rng(5)
    plan = Plan.model_validate(PLAN | {"sampling": {"size": size, "strata": ["region"]}})
    labels = [f"stratum {number:02}" for number in range(STRATA)]
    frame = Frame([f"C{number:07}" for number in range(frame_size)], np.arange(frame_size) % STRATA, labels)
    values = {
        "revenue": draw.lognormal(4, 1, frame_size),
        "cost": draw.gamma(2, 20, frame_size),
        "retained": (draw.random(frame_size) < 0.6).astype(np.float64),
    }
    scales = {"revenue": Scale.MONEY, "cost": Scale.MONEY, "retained": Scale.BINARY}
    effects = {"revenue": 0.0, "cost": -8.0, "retained": 0.05}
    baselines = [
        Baseline(
            outcome,
            scales[outcome.key],
            float(values[outcome.key].mean()),
            float(values[outcome.key].std()),
            "data",
            effect=effects[outcome.key],
            effect_origin="plan",
            values=values[outcome.key],
        )
        for outcome in plan.outcomes
    ]
    analyses = {"revenue": [NonInferiority(margin=20)], "cost": [StratifiedDifference()], "retained": [Newcombe()]}
    measures = {f"measure {number}": draw.lognormal(size=frame_size) for number in range(10)}
    return Design(plan, frame, baselines, analyses, measures, judge)


def bare(made: Design, times: int) -> None:
    """What nobody can do with less: a permutation and a difference of means, again and again."""
    draw, size = np.random.default_rng(1), made.plan.sampling.size
    table = np.column_stack([base.values[:size] for base in made.baselines if base.values is not None])
    for _ in range(times):
        order = draw.permutation(size)
        table[order[: size // 2]].mean(axis=0) - table[order[size // 2 :]].mean(axis=0)


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Measure what is asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--times", type=int, default=500)
    asked.add_argument("--size", type=int, default=2000)
    asked.add_argument("--frame", type=int, nargs="+", default=[5000, 50_000, 500_000])
    args = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(load(secret_key="kX3v9Tq27mWzR5bLpN8cYd4HsJf6GaEu", data_dir=Path(folder)))
        with app.app_context():
            print(f"{args.times} re-draws of {args.size:,} customers, 3 outcomes (goal {GOAL:.0f} s)")
            print(f"{'frame':>10}{'bare CPU s':>12}{'ours CPU s':>12}{'wall s':>9}")
            for frame in args.frame:
                made = design(frame, args.size)
                rehearse(made, 2)
                theirs = clocked(partial(bare, made, args.times))
                cpu, wall = clocked(partial(rehearse, made, args.times))
                print(f"{frame:>10,}{theirs[0]:12.2f}{cpu:12.2f}{wall:9.2f}", flush=True)


if __name__ == "__main__":
    main()
