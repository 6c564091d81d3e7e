import hashlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.apportionment import apportion
from pilot.errors import InputError
from pilot.experiments import frame as frames
from pilot.experiments.assignment import SPARE_KEYS
from pilot.experiments.sampling import random_keys
from pilot.plugins.builtin.designs import Complete, SimpleSample, StratifiedBlocks, StratifiedSample

SHARES = st.lists(st.integers(1, 20), min_size=2, max_size=5).map(lambda parts: [part / sum(parts) for part in parts])
STRATA = st.lists(st.integers(1, 40), min_size=1, max_size=12)
SEEDS = st.text(min_size=1, max_size=8)
MASK = (1 << 64) - 1
STEADY = settings(deadline=None, derandomize=True)


def frame_with(sizes):
    return frames.build(
        (f"{layer}-{number}", f"s{layer:02}") for layer, size in enumerate(sizes) for number in range(size)
    )


def sample(design, frame, size, seed="seed"):
    return design.draw(frame, size, random_keys(seed, "sample", len(frame)))


def assign(design, strata, shares, seed="seed"):
    keys = random_keys(seed, "assignment", len(strata) + int(strata.max()) + 1 + SPARE_KEYS)
    return design.assign(strata, shares, keys)


def layered(sizes):
    """Stratum of each unit, in the mixed order that refs have in a real frame."""
    strata = np.repeat(np.arange(len(sizes)), sizes)
    return strata[np.argsort(random_keys("mix", "order", len(strata)))]


def philox(counter, key):
    """Philox4x64-10, written from Salmon et al. (2011), section 4.3."""
    c0, c1, c2, c3 = ((counter >> 64 * i) & MASK for i in range(4))
    k0, k1 = key & MASK, key >> 64
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c0, 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * c2, 1 << 64)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [c0, c1, c2, c3]


def test_random_keys_are_the_philox_stream_of_the_hashed_seed():
    # known answer of the Random123 distribution: philox4x64, 10 rounds, counter and key zero
    assert philox(0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    key = int.from_bytes(hashlib.sha256(b"seed|sample").digest()[:16], "little")
    assert random_keys("seed", "sample", 10).tolist() == [*philox(1, key), *philox(2, key), *philox(3, key)][:10]


@STEADY
@given(st.integers(0, 10_000), st.lists(st.integers(1, 500), min_size=1, max_size=8))
def test_largest_remainder_gives_whole_parts_within_one_of_their_quota(total, weights):
    parts = apportion(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


def test_largest_remainder_decides_ties_for_the_earlier_part():
    assert apportion(5, [0.5, 0.5]) == [3, 2]
    assert apportion(100, [0.57, 0.43]) == [57, 43]  # 0.57 * 100 is 56.99999999999999 in binary


@settings(STEADY, max_examples=60)
@given(STRATA, st.data(), SEEDS)
def test_a_stratified_sample_is_exact_and_proportional_in_every_stratum(sizes, data, seed):
    frame, total = frame_with(sizes), sum(sizes)
    size = data.draw(st.integers(1, total))
    drawn = sample(StratifiedSample(), frame, size, seed)
    counts = np.bincount(frame.strata[drawn.positions], minlength=len(sizes)).tolist()
    assert len(set(drawn.positions.tolist())) == size
    assert counts == apportion(size, sizes)
    expected = [counts[layer] / sizes[layer] for layer in frame.strata[drawn.positions]]
    assert drawn.probabilities.tolist() == expected


def test_a_minimum_per_stratum_is_met_and_the_others_share_the_rest_in_proportion():
    frame = frame_with([3, 10, 400, 600])
    drawn = sample(StratifiedSample(minimum_per_stratum=5), frame, 100)
    # by proportion 0.3, 1, 39.5 and 59.2; the first has only 3, the second gets 5, and 92 are shared 400 : 600
    assert np.bincount(frame.strata[drawn.positions]).tolist() == [3, 5, 37, 55]


def test_a_minimum_that_needs_more_than_the_sample_is_refused():
    with pytest.raises(InputError, match="need 30 customers, but only 20 are drawn") as caught:
        sample(StratifiedSample(minimum_per_stratum=10), frame_with([50, 50, 50]), 20)
    assert caught.value.place == "sampling.design.settings.minimum_per_stratum"


@pytest.mark.parametrize("design", [StratifiedSample(), SimpleSample()])
def test_a_sample_larger_than_its_frame_is_refused_with_its_key(design):
    with pytest.raises(InputError, match="11 customers are to be drawn, but only 10 are eligible") as caught:
        sample(design, frame_with([4, 6]), 11)
    assert caught.value.place == "sampling.size"


@settings(STEADY, max_examples=30)
@given(STRATA, st.randoms(use_true_random=False), SEEDS)
def test_the_order_of_the_rows_changes_nothing(sizes, random, seed):
    rows = [(f"{layer}-{number}", f"s{layer:02}") for layer, size in enumerate(sizes) for number in range(size)]
    shuffled = random.sample(rows, len(rows))
    size = (len(rows) + 1) // 2
    first, second = (sample(StratifiedSample(), frames.build(order), size, seed) for order in (rows, shuffled))
    assert frames.to_csv(frames.build(rows)) == frames.to_csv(frames.build(shuffled))
    assert first.positions.tolist() == second.positions.tolist()


@settings(STEADY, max_examples=60)
@given(STRATA, SHARES, SEEDS)
def test_arm_totals_are_exactly_those_of_the_largest_remainder(sizes, shares, seed):
    strata = layered(sizes)
    for design in (StratifiedBlocks(), Complete()):
        allocation = assign(design, strata, shares, seed)
        totals = apportion(len(strata), shares)
        assert np.bincount(allocation.arms, minlength=len(shares)).tolist() == totals
        assert allocation.probabilities.tolist() == [totals[arm] / len(strata) for arm in allocation.arms.tolist()]


@settings(STEADY, max_examples=150)
@given(STRATA, SHARES, SEEDS)
def test_every_stratum_is_balanced_within_the_stated_bound(sizes, shares, seed):
    """Less than 1 + (A - 2) n_a / N from proportional; with two arms that is rounding down or up."""
    strata = layered(sizes)
    totals = apportion(len(strata), shares)
    arms = assign(StratifiedBlocks(), strata, shares, seed).arms
    for stratum, size in enumerate(sizes):
        for arm, total in enumerate(totals):
            count = int(((strata == stratum) & (arms == arm)).sum())
            share = Fraction(total, len(strata))
            assert abs(count - size * share) < 1 + (len(shares) - 2) * share


@pytest.mark.parametrize(
    ("design", "shares"),
    [
        (StratifiedBlocks(), [0.5, 0.5]),
        (StratifiedBlocks(), [0.7, 0.3]),
        (StratifiedBlocks(), [0.5, 0.25, 0.25]),
        (Complete(), [0.7, 0.3]),
    ],
)
def test_over_many_seeds_every_unit_gets_every_arm_as_often_as_its_probability_says(design, shares):
    sizes, rounds = [1, 2, 5, 13], 2000
    strata = layered(sizes)
    units = len(strata)
    counts = np.zeros((units, len(shares)))
    for number in range(rounds):
        counts[np.arange(units), assign(design, strata, shares, f"{number}").arms] += 1
    expected = np.array(apportion(units, shares)) / units
    deviation = np.abs(counts / rounds - expected) / np.sqrt(expected * (1 - expected) / rounds)
    assert deviation.max() < 4.5  # binomial: 63 cells at most, each beyond 4.5 sigma with probability 7e-6


@pytest.mark.parametrize("design", [StratifiedSample(), SimpleSample(), StratifiedSample(minimum_per_stratum=2)])
def test_over_many_seeds_every_unit_is_drawn_as_often_as_its_probability_says(design):
    frame, size, rounds = frame_with([3, 8, 14]), 9, 2000
    counts, stated = np.zeros(len(frame)), {}
    for number in range(rounds):
        drawn = sample(design, frame, size, f"{number}")
        counts[drawn.positions] += 1
        stated.update(zip(drawn.positions.tolist(), drawn.probabilities.tolist(), strict=True))
    expected = np.array([stated[position] for position in range(len(frame))])
    deviation = np.abs(counts / rounds - expected) / np.sqrt(expected * (1 - expected) / rounds)
    assert deviation.max() < 4.5


def test_units_of_one_stratum_are_paired_by_chance_not_by_their_order():
    """Neighbours in the list of refs share an arm as often as any two units: the line is shuffled."""
    strata, rounds = np.zeros(10, dtype=np.int64), 2000
    same = Counter()
    for number in range(rounds):
        arms = assign(StratifiedBlocks(), strata, [0.5, 0.5], f"{number}").arms
        same.update(position for position in range(9) if arms[position] == arms[position + 1])
    # two of 10 units with 5 places in each arm share one with probability 4/9
    assert all(abs(same[position] / rounds - 4 / 9) < 4.5 * (4 / 9 * 5 / 9 / rounds) ** 0.5 for position in range(9))


def test_another_seed_gives_another_draw():
    frame = frame_with([50, 50])
    assert (
        sample(StratifiedSample(), frame, 20, "a").positions.tolist()
        != sample(StratifiedSample(), frame, 20, "b").positions.tolist()
    )
