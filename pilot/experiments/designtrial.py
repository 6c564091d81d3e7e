"""Trying a stranger's design on small frames: does it keep the promises that the draw and the replay rely on?

Frequencies are counted over `SEEDS` draws. A stated probability is doubted from `DOUBT` standard errors on, which chance alone
comes to for one of some hundred units in a million trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pilot.errors import InputError
from pilot.experiments.assignment import Allocation, AssignmentDesign
from pilot.experiments.sampling import (
    SPARE_KEYS,
    Design,
    Floats,
    Frame,
    Ints,
    Keys,
    Sample,
    SamplingDesign,
    random_keys,
)

SEEDS = 300
DOUBT = 6.0
_LAYERS = (24, 9, 3)
_CLUSTER = 3
_SHARES = ((0.5, 0.5), (2 / 3, 1 / 3), (0.25, 0.25, 0.5))


def sampling_faults(design: SamplingDesign) -> list[str]:
    """What a sampling design breaks; nothing where it refuses every frame it is tried on."""
    frame = _frame(design)
    for size in (18, len(frame)):
        draw = _sampler(design, frame, size)
        if not _works(draw):
            continue
        faults = [*_sample_shape(draw, frame, size)] or [*_repeats(draw)] or [*_sample_chances(draw, frame)]
        if faults:
            return [f"drawing {size} of {len(frame)}, {fault}" for fault in faults]
    return []


def assignment_faults(design: AssignmentDesign) -> list[str]:
    """What an assignment design breaks; shares that it refuses are passed over."""
    frame = _frame(design)
    for shares in _SHARES:
        assign = _assigner(design, frame, shares)
        if not _works(assign):
            continue
        faults = (
            [*_arms_shape(assign, frame, len(shares))] or [*_repeats(assign)] or [*_arm_chances(assign, frame, shares)]
        )
        if faults:
            return [f"with shares {', '.join(f'{share:.2f}' for share in shares)}, {fault}" for fault in faults]
    return []


def _frame(design: Design) -> Frame:
    """Three strata of different size, mixed; clusters of three; the measures it asks for, one of them not known."""
    strata = np.repeat(np.arange(len(_LAYERS)), _LAYERS)[np.argsort(random_keys("trial", "mix", sum(_LAYERS)))]
    number = len(strata)
    values = 1.0 + (random_keys("trial", "values", number) % np.uint64(97)).astype(np.float64)
    measures = {}
    for place, name in enumerate(design.measures()):
        measures[name] = np.roll(values, place)
        measures[name][place % number] = np.nan
    return Frame(
        [f"C{place:03}" for place in range(number)],
        strata,
        [f"stratum {place}" for place in range(len(_LAYERS))],
        np.arange(number) // _CLUSTER,
        [f"cluster {place:03}" for place in range(number // _CLUSTER)],
        measures,
    )


def _keys(seed: str, frame: Frame) -> Keys:
    return random_keys(seed, "trial", len(frame) + len(frame.labels) + SPARE_KEYS)


def _sampler(design: SamplingDesign, frame: Frame, size: int) -> Callable[[str], tuple[Ints, Floats]]:
    def draw(seed: str) -> tuple[Ints, Floats]:
        found: Sample = design.draw(frame, size, _keys(seed, frame))
        return found.positions, found.probabilities

    return draw


def _assigner(design: AssignmentDesign, frame: Frame, shares: Sequence[float]) -> Callable[[str], tuple[Ints, Floats]]:
    def assign(seed: str) -> tuple[Ints, Floats]:
        found: Allocation = design.assign(frame, shares, _keys(seed, frame))
        return found.arms, found.probabilities

    return assign


def _works(act: Callable[[str], object]) -> bool:
    """Whether the design takes this frame; that it refuses it with a reason is its good right."""
    try:
        act("0")
    except InputError:
        return False
    return True


def _repeats(act: Callable[[str], tuple[Ints, Floats]]) -> Iterator[str]:
    """The same keys give the same; chance from anywhere else shows."""
    np.random.seed(1)  # a design that asks numpy's common generator gets other numbers the second time
    first = [act(str(seed)) for seed in range(5)]
    again = [act(str(seed)) for seed in range(5)]
    if any(
        (one != other).any()
        for before, after in zip(first, again, strict=True)
        for one, other in zip(before, after, strict=True)
    ):
        yield "the same keys give another result the second time: something beside the keys is random"


def _sample_shape(draw: Callable[[str], tuple[Ints, Floats]], frame: Frame, size: int) -> Iterator[str]:
    positions, chances = draw("0")
    if len(positions) != size or len(np.unique(positions)) != size:
        yield f"it gives {len(np.unique(positions))} different units"
    elif (np.diff(positions) <= 0).any() or positions.min() < 0 or positions.max() >= len(frame):
        yield "positions are not ascending places of the frame"
    yield from _chances_shape(chances, len(positions))


def _arms_shape(assign: Callable[[str], tuple[Ints, Floats]], frame: Frame, number: int) -> Iterator[str]:
    arms, chances = assign("0")
    if len(arms) != len(frame):
        yield f"it gives {len(arms)} arms to {len(frame)} units"
    elif arms.min() < 0 or arms.max() >= number:
        yield "it gives arms that there are not"
    yield from _chances_shape(chances, len(arms))


def _chances_shape(chances: Floats, number: int) -> Iterator[str]:
    if len(chances) != number or not ((chances > 0) & (chances <= 1)).all():
        yield "not every unit has a probability above 0 and at most 1"


def _sample_chances(draw: Callable[[str], tuple[Ints, Floats]], frame: Frame) -> Iterator[str]:
    counts, stated = np.zeros(len(frame)), np.full(len(frame), np.nan)
    for seed in range(SEEDS):
        positions, chances = draw(str(seed))
        counts[positions] += 1
        stated[positions] = chances
    yield from _doubt(counts[~np.isnan(stated)], stated[~np.isnan(stated)], frame, "is drawn")


def _arm_chances(assign: Callable[[str], tuple[Ints, Floats]], frame: Frame, shares: Sequence[float]) -> Iterator[str]:
    counts, stated = np.zeros((len(shares), len(frame))), np.full((len(shares), len(frame)), np.nan)
    places = np.arange(len(frame))
    for seed in range(SEEDS):
        arms, chances = assign(str(seed))
        counts[arms, places] += 1
        stated[arms, places] = chances
    for arm in range(len(shares)):
        known = ~np.isnan(stated[arm])
        yield from _doubt(counts[arm][known], stated[arm][known], frame, f"comes to arm {arm}")


def _doubt(counts: Floats, stated: Floats, frame: Frame, what: str) -> Iterator[str]:
    """The unit whose frequency is farthest from its stated probability, if that is too far for chance."""
    error = np.sqrt(np.maximum(stated * (1 - stated), 1 / SEEDS) / SEEDS)
    distance = np.abs(counts / SEEDS - stated) / error
    worst = int(np.argmax(distance)) if len(distance) else 0
    if len(distance) and distance[worst] > DOUBT:
        yield f"a unit {what} in {counts[worst] / SEEDS:.0%} of draws, and {stated[worst]:.0%} is stated"
