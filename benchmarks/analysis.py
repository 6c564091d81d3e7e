"""The analyses beside their peers, alternately in one run: CPU time, ratios, and how the cost grows with rows.

Peers: tea-tasting on DuckDB, a bare GROUP BY of DuckDB, scipy's resampling, statsmodels' regression. What a peer would take
hours for is timed on less and scaled up in a straight line, which the heading says.

    python benchmarks/analysis.py [--rows 10000000]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
from scipy import stats

from pilot.analysis import Comparison, Evidence, Need, Scale, exact_permutation
from pilot.analysis.bootstrap import Sample, mean_endpoints
from pilot.analysis.frames import Columns, read_evidence
from pilot.analysis.methods.bootstrap import Bootstrap
from pilot.analysis.methods.regression import Cuped
from pilot.analysis.methods.welch import Welch
from pilot.analysis.rankscores import exact_ranks

LEVELS = np.arange(1.0, 6.0)
SHARES = (0.03, 0.07, 0.18, 0.42, 0.30)
RESAMPLES = 9_999

Work = Callable[[], object]


def cpu(work: Work) -> float:
    """CPU time of one go, in seconds, of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def alternately(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """The shortest CPU time of each, taken in turns so that a busy machine is busy for all."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(cpu(work))
    return {name: min(taken) for name, taken in times.items()}


def growth(sizes: Sequence[int], times: Sequence[float]) -> str:
    """The exponent of the last step."""
    if len(times) < 2:
        return ""
    return f"{math.log(times[-1] / times[-2]) / math.log(sizes[-1] / sizes[-2]):+.2f}"


def parquet(folder: Path, rows: int) -> Path:
    """A file of amounts with the amount before, in two arms."""
    path = folder / f"{rows}.parquet"
    duckdb.sql("SELECT setseed(0.5)")
    duckdb.sql(
        f"""COPY (SELECT CASE WHEN random() < 0.5 THEN 'control' ELSE 'pilot' END AS arm, before,
                   0.7 * before + exp(2 + 1.5 * random()) AS spend
            FROM (SELECT exp(2 + 2 * random()) AS before FROM range({rows}))) TO '{path}'"""
    )
    return path


def means(folder: Path, sizes: Sequence[int]) -> None:
    """Welch and CUPED from a Parquet file."""
    print("Means of a Parquet file, CPU ms (growth: exponent of the last step)")
    head = f"{'rows':>12}{'Welch':>9}{'bare':>9}{'ratio':>7}{'tea':>9}{'ratio':>7}"
    print(f"{head}{'CUPED':>9}{'bare':>9}{'ratio':>7}{'tea':>9}{'ratio':>7}{'growth':>8}")
    ours: list[float] = []
    for place, rows in enumerate(sizes):
        path = parquet(folder, rows)
        found = alternately(_means(path), rounds=7 if rows < 5_000_000 else 5)
        ours.append(found["welch"])
        cells = []
        for name in ("welch", "cuped"):
            mine, bare, tea = (found[key] for key in (name, f"bare {name}", f"tea {name}"))
            cells += [f"{1000 * mine:9.1f}{1000 * bare:9.1f}{mine / bare:7.2f}"]
            cells += [f"{1000 * tea:9.1f}{mine / tea:7.2f}" if tea else f"{'-':>9}{'-':>7}"]
        print(f"{rows:>12,}{''.join(cells)}{growth(sizes[: place + 1], ours):>8}")


def _means(path: Path) -> dict[str, Work]:
    def read(columns: Columns, need: Need) -> Evidence:
        return read_evidence(path, columns, needs=(need,), scale=Scale.MONEY)

    def bare(sums: str) -> object:
        return duckdb.connect().execute(f"SELECT arm, {sums} FROM '{path}' GROUP BY arm").fetchall()

    one = "count(spend), avg(spend), var_samp(spend)"
    both = Columns("arm", "spend", covariates=("before",))
    return {
        "welch": lambda: Welch().compare(read(Columns("arm", "spend"), Need.MOMENTS), "pilot"),
        "bare welch": lambda: bare(one),
        "tea welch": _tea(path, None),
        "cuped": lambda: Cuped().compare(read(both, Need.JOINT), "pilot"),
        "bare cuped": lambda: bare(f"{one}, avg(before), var_samp(before), covar_samp(spend, before)"),
        "tea cuped": _tea(path, "before"),
    }


def _tea(path: Path, covariate: str | None) -> Work:
    import ibis
    import tea_tasting as tea

    metric = tea.Mean("spend", covariate) if covariate else tea.Mean("spend")
    experiment = tea.Experiment({"spend": metric}, variant="arm")
    return lambda: experiment.analyze(ibis.duckdb.connect().read_parquet(path), control="control")


def permutation(sizes: Sequence[int]) -> None:
    """The exact p of a rating, of its ranks and inside strata, from counts, beside scipy's shuffles."""
    print(f"\nPermutation test of a rating from counts (scipy: {RESAMPLES:,} shuffles, scaled up from 19)")
    head = "".join(f"{name:>14}{'growth':>8}" for name in ("mean, ms", "4 strata, ms", "ranks, ms"))
    print(f"{'rows':>12}{head}{'log p':>10}{'scipy, s':>12}{'ratio':>12}")
    rng = np.random.default_rng(1)
    ours: dict[str, list[float]] = {"mean": [], "strata": [], "ranks": []}
    for place, rows in enumerate(sizes):
        control, pilot = (rng.choice(LEVELS, rows // 2, p=SHARES) for _ in range(2))
        counts = np.array([[(arm == level).sum() for level in LEVELS] for arm in (control, pilot)])[:, None]
        found = alternately(_exact(counts, rng.multinomial(rows // 8, SHARES, size=(2, 4))), 30)
        cells = []
        for name, times in ours.items():
            times.append(found[name])
            cells.append(f"{1000 * times[-1]:14.2f}{growth(sizes[: place + 1], times):>8}")
        scipy = cpu(lambda a=pilot, b=control: _shuffle(a, b)) * RESAMPLES / 19 if rows <= 100_000 else None
        peer = f"{scipy:12.1f}{scipy / found['mean']:12,.0f}" if scipy else f"{'-':>12}{'-':>12}"
        print(f"{rows:>12,}{''.join(cells)}{exact_permutation(counts, LEVELS).log_p:10.3f}{peer}")


def _exact(counts: np.ndarray, strata: np.ndarray) -> dict[str, Work]:
    return {
        "mean": lambda: exact_permutation(counts, LEVELS),
        "strata": lambda: exact_permutation(strata, LEVELS),
        "ranks": lambda: exact_ranks(counts),
    }


def _shuffle(pilot: np.ndarray, control: np.ndarray) -> object:
    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return x.mean(axis=axis) - y.mean(axis=axis)

    return stats.permutation_test((pilot, control), difference, n_resamples=19, vectorized=True, batch=19, rng=1)


def bca(sizes: Sequence[int], longest: int) -> None:
    """The BCa interval of a difference of mean ratings beside scipy's bootstrap."""
    print(f"\nBCa interval of a difference of means (scipy: {RESAMPLES:,} resamples)")
    print(f"{'rows':>12}{'counts, ms':>12}{'moments, ms':>13}{'scipy, s':>12}{'ratio':>10}{'ratio':>12}")
    rng = np.random.default_rng(2)
    for rows in sizes:
        arms = [rng.choice(LEVELS, rows // 2, p=SHARES) for _ in range(2)]
        counts = [[[int((arm == level).sum()) for level in LEVELS]] for arm in arms]
        evidence = Evidence.from_counts("csat", Scale.RATING, ("control", "pilot"), LEVELS.tolist(), counts)
        samples = [[Sample.of(arm)] for arm in arms]
        works: dict[str, Work] = {
            "counts": lambda evidence=evidence: Bootstrap(draws=RESAMPLES).compare(evidence, "pilot"),
            "moments": lambda samples=samples: mean_endpoints(samples, (1.0,)),
        }
        found = alternately(works, 5)
        scipy = cpu(lambda arms=arms: _bootstrap(arms)) if rows <= longest else None
        peer = f"{scipy:12.1f}" if scipy else f"{'-':>12}"
        ratios = (
            "".join(f"{scipy / found[name]:{width},.0f}" for name, width in (("counts", 10), ("moments", 12)))
            if scipy
            else ""
        )
        print(f"{rows:>12,}{1000 * found['counts']:12.2f}{1000 * found['moments']:13.3f}{peer}{ratios}")
        assert isinstance(Bootstrap().compare(evidence, "pilot"), Comparison)


def _bootstrap(arms: list[np.ndarray]) -> object:
    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return y.mean(axis=axis) - x.mean(axis=axis)

    return stats.bootstrap(arms, difference, n_resamples=RESAMPLES, method="BCa", vectorized=True, batch=100, rng=1)


def regression(sizes: Sequence[int]) -> None:
    """Welch from counts beside statsmodels' regression with robust errors on rows."""
    import statsmodels.api as sm

    print("\nDifference of mean ratings, from counts beside regression on rows (statsmodels, HC2)")
    print(f"{'rows':>12}{'counts, ms':>12}{'rows, ms':>12}{'ratio':>10}")
    rng = np.random.default_rng(3)
    for rows in sizes:
        arm = rng.integers(0, 2, rows)
        value = rng.choice(LEVELS, rows, p=SHARES)
        counts = [[[int(((arm == a) & (value == level)).sum()) for level in LEVELS]] for a in (0, 1)]
        evidence = Evidence.from_counts("csat", Scale.RATING, ("control", "pilot"), LEVELS.tolist(), counts)
        design = sm.add_constant(arm.astype(float))
        works: dict[str, Work] = {
            "counts": lambda evidence=evidence: Welch().compare(evidence, "pilot"),
            "rows": lambda value=value, design=design: sm.OLS(value, design).fit(cov_type="HC2").conf_int(),
        }
        found = alternately(works, 3)
        line = f"{rows:>12,}{1000 * found['counts']:12.3f}{1000 * found['rows']:12.1f}"
        print(f"{line}{found['rows'] / found['counts']:10,.0f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="largest file of amounts")
    parser.add_argument(
        "--longest", type=int, default=10_000, help="most rows for scipy's bootstrap: 100000 takes minutes"
    )
    asked = parser.parse_args()
    sizes = [rows for rows in (100_000, 1_000_000, 10_000_000) if rows <= asked.rows]
    with tempfile.TemporaryDirectory() as folder:
        means(Path(folder), sizes)
    permutation((1_000, 10_000, 100_000, 1_000_000, 10_000_000))
    bca((1_000, 10_000, 100_000, 1_000_000), asked.longest)
    regression((100_000, 1_000_000))


if __name__ == "__main__":
    main()
