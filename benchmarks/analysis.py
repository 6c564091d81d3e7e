"""The exact permutation p of a rating beside scipy's resampling, in one run: CPU time, and how it grows with rows.

scipy's test is timed at few resamples and scaled to 9,999: a straight line, since resamples cost the same each.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from pilot.analysis import exact_permutation

LEVELS = np.arange(1.0, 6.0)
SHARES = (0.03, 0.07, 0.18, 0.42, 0.30)
RESAMPLES, TIMED = 9_999, 19


def cpu(work: Callable[[], object], rounds: int) -> float:
    """The shortest CPU time of several rounds, in seconds."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(1)
    print(f"{'rows':>10} {'exact, ms':>10} {'scipy 9,999, s':>15} {'ratio':>10}")
    for rows in (1_000, 10_000, 100_000, 1_000_000):
        control, pilot = (rng.choice(LEVELS, rows // 2, p=SHARES) for _ in range(2))
        counts = np.array([[(arm == level).sum() for level in LEVELS] for arm in (control, pilot)])
        exact = cpu(lambda counts=counts: exact_permutation(counts[:, None, :], LEVELS), 5)

        def resample(control: np.ndarray = control, pilot: np.ndarray = pilot) -> object:
            difference = lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis)  # noqa: E731
            return stats.permutation_test(
                (pilot, control), difference, n_resamples=TIMED, vectorized=True, batch=TIMED, rng=1
            )

        scipy = cpu(resample, 1) * RESAMPLES / TIMED if rows <= 100_000 else None
        peer = f"{scipy:>15.1f} {scipy / exact:>10,.0f}" if scipy else f"{'-':>15} {'-':>10}"
        print(f"{rows:>10,} {1000 * exact:>10.2f} {peer}")


if __name__ == "__main__":
    main()
