import hashlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.analysis.apportionment import apportion
from pilot.analysis.rerandomisation import kept_variance
from pilot.errors import InputError
from pilot.experiments import frame as frames
from pilot.experiments.sampling import SPARE_KEYS, Frame, random_keys
from pilot.plugins.builtin.assignment import ClusterAssignment, Complete, MatchedPairs, Rerandomised, StratifiedBlocks
from pilot.plugins.builtin.sampling import (
    ClusterSample,
    NeymanSample,
    SimpleSample,
    StratifiedSample,
    SystematicBySize,
    inclusion_by_size,
)

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
    return design.draw(frame, size, random_keys(seed, "sample", len(frame) + len(frame.labels) + SPARE_KEYS))


def units_of(strata, **known):
    return Frame(range(len(strata)), strata, range(int(strata.max()) + 1), **known)


def assign(design, strata, shares, seed="seed"):
    units = units_of(strata)
    return design.assign(units, shares, random_keys(seed, "assignment", len(units) + len(units.labels) + SPARE_KEYS))


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


def frame_of(sizes, *, clusters=None, seed="measures", **measures):
    """A frame with strata of these sizes, unit numbers modulo `clusters` as clusters, and measures drawn log-normally."""
    strata = layered(sizes)
    units = len(strata)
    known = {
        name: values if values is not None else lognormal(units, f"{seed}{name}") for name, values in measures.items()
    }
    together = None if clusters is None else np.arange(units) % clusters
    labels = [f"g{number:03}" for number in range(clusters or 0)]
    return Frame(
        [f"{i:05}" for i in range(units)], strata, [f"s{i}" for i in range(len(sizes))], together, labels, known
    )


def lognormal(units, seed):
    uniform = (random_keys(seed, "measure", units) >> np.uint64(11)).astype(float) * 2.0**-53
    return np.exp(2 * uniform)


def keyed(frame, seed, purpose):
    return random_keys(seed, purpose, len(frame) + len(frame.labels) + SPARE_KEYS)


SAMPLING = [
    StratifiedSample(),
    StratifiedSample(minimum_per_stratum=2),
    SimpleSample(),
    NeymanSample(),
    NeymanSample(cost="cost_year"),
    ClusterSample(),
    SystematicBySize(),
    SystematicBySize(least=3.0),
]
ASSIGNMENT = [
    (StratifiedBlocks(remainder="stratum"), [0.5, 0.5]),
    (StratifiedBlocks(remainder="stratum"), [0.5, 0.3, 0.2]),
    (MatchedPairs(), [0.5, 0.5]),
    (MatchedPairs(by=("revenue_year", "cost_year")), [0.25, 0.75]),
    (MatchedPairs(by=("revenue_year", "cost_year")), [1 / 3, 1 / 3, 1 / 3]),
    (ClusterAssignment(), [0.5, 0.5]),
    (ClusterAssignment(), [1 / 3, 2 / 3]),
    (Rerandomised(by=("revenue_year", "cost_year"), acceptance=0.4), [0.5, 0.5]),
]


def whole(number, **known):
    return frame_of([3, 8, 14], clusters=number, revenue_year=None, cost_year=None, **known)


@pytest.mark.parametrize("design", SAMPLING, ids=repr)
def test_every_sample_has_the_exact_number_and_every_unit_its_probability(design):
    frame, size, rounds = whole(7), 11, 2000
    counts, stated = np.zeros(len(frame)), np.zeros(len(frame))
    for number in range(rounds):
        drawn = design.draw(frame, size, keyed(frame, f"{number}", "sample"))
        assert len(drawn.positions) == size
        assert (np.diff(drawn.positions) > 0).all()
        counts[drawn.positions] += 1
        stated[drawn.positions] = drawn.probabilities
    assert stated.sum() == pytest.approx(size)  # the probabilities of all units sum to the size (Horvitz, Thompson)
    error = np.sqrt(np.maximum(stated * (1 - stated), 1e-12) / rounds)
    assert (np.abs(counts / rounds - stated) / error)[stated < 1].max() < 4.5
    assert (counts[stated == 1] == rounds).all()


@pytest.mark.parametrize(("design", "shares"), ASSIGNMENT, ids=repr)
def test_every_assignment_gives_every_unit_every_arm_as_often_as_its_share(design, shares):
    frame, rounds = whole(9), 1000
    counts = np.zeros((len(frame), len(shares)))
    for number in range(rounds):
        found = design.assign(frame, shares, keyed(frame, f"{number}", "assignment"))
        assert found.probabilities == pytest.approx(np.array(shares)[found.arms])
        counts[np.arange(len(frame)), found.arms] += 1
    error = np.sqrt(np.array(shares) * (1 - np.array(shares)) / rounds)
    assert (np.abs(counts / rounds - shares) / error).max() < 4.5


@pytest.mark.parametrize("design", [ClusterAssignment()])
def test_units_of_a_cluster_share_their_arm_and_clusters_are_parted_evenly(design):
    frame = frame_of([120, 180], clusters=30)
    for number in range(50):
        arms = design.assign(frame, [0.5, 0.5], keyed(frame, f"{number}", "assignment")).arms
        of_cluster = [set(arms[frame.clusters == cluster].tolist()) for cluster in range(30)]
        assert all(len(found) == 1 for found in of_cluster)
        assert sum(found == {1} for found in of_cluster) == 15


def test_clusters_are_needed_where_a_design_is_made_of_them():
    frame = frame_of([10])
    for act in (
        lambda: ClusterSample().draw(frame, 4, keyed(frame, "", "sample")),
        lambda: ClusterAssignment().assign(frame, [0.5, 0.5], keyed(frame, "", "assignment")),
    ):
        with pytest.raises(InputError, match="units that stay together") as caught:
            act()
        assert caught.value.place == "sampling.cluster"


def test_too_few_clusters_are_refused_with_the_number_that_would_do():
    frame = frame_of([10], clusters=3)
    with pytest.raises(InputError, match="3 clusters are too few for 2 arms") as caught:
        ClusterAssignment().assign(frame, [0.5, 0.5], keyed(frame, "", "assignment"))
    assert "At least 4" in caught.value.remedy


def test_a_cluster_sample_takes_whole_clusters_but_for_two():
    frame = frame_of([300], clusters=30)
    drawn = ClusterSample().draw(frame, 95, keyed(frame, "x", "sample"))
    taken = np.bincount(frame.clusters[drawn.positions], minlength=30)
    assert sum(0 < count < 10 for count in taken) <= 2
    assert taken.sum() == 95


def test_more_is_drawn_where_customers_are_less_alike():
    # Cochran (1977), 5.5: in proportion to size times spread: 100 x 1 against 100 x 3
    spread = np.concatenate([np.tile([9.0, 11.0], 50), np.tile([7.0, 13.0], 50)])
    frame = Frame(
        [f"{i:03}" for i in range(200)], np.repeat([0, 1], 100), ["even", "uneven"], measures={"revenue_year": spread}
    )
    drawn = NeymanSample().draw(frame, 80, keyed(frame, "", "sample"))
    assert np.bincount(frame.strata[drawn.positions]).tolist() == [20, 60]


def test_larger_customers_are_drawn_in_proportion_and_the_largest_for_certain():
    # 3 of sizes 1, 1, 2, 2, 14: the last is certain, the others share 2 of 6: 1/3, 1/3, 2/3, 2/3
    assert inclusion_by_size(np.array([1.0, 1, 2, 2, 14]), 3) == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])


@pytest.mark.parametrize("shares", [[0.37, 0.63], [0.47, 0.53]])
def test_shares_that_no_small_group_can_be_parted_in_are_refused(shares):
    with pytest.raises(InputError, match="no group of up to 20 can be parted"):
        MatchedPairs().assign(whole(5), shares, keyed(whole(5), "", "assignment"))


def test_pairs_are_alike():
    frame = frame_of([200], revenue_year=None, cost_year=None)
    arms = MatchedPairs().assign(frame, [0.5, 0.5], keyed(frame, "s", "assignment")).arms
    order = np.argsort(frame.measures["revenue_year"])
    assert all(arms[one] != arms[other] for one, other in order.reshape(-1, 2))


def test_rerandomised_arms_are_more_alike_than_others():
    """Morgan and Rubin (2012): with two measures and acceptance 0.1 a share v_a of the variance of the difference is left."""
    frame, rounds = frame_of([100], revenue_year=None, cost_year=None), 200
    values = frame.measures["revenue_year"]
    differences = {}
    for name, design in (
        ("plain", StratifiedBlocks()),
        ("alike", Rerandomised(by=("revenue_year", "cost_year"), acceptance=0.1)),
    ):
        arms = [design.assign(frame, [0.5, 0.5], keyed(frame, f"{n}", "assignment")).arms for n in range(rounds)]
        differences[name] = np.var([values[arm == 1].mean() - values[arm == 0].mean() for arm in arms])
    left = differences["alike"] / differences["plain"]
    expected = kept_variance(0.1, 2)
    assert left == pytest.approx(expected, abs=4.5 * expected * (4 / rounds) ** 0.5)


def test_rerandomisation_is_refused_where_its_probabilities_would_not_be_the_shares():
    with pytest.raises(InputError, match="two arms with equal shares"):
        Rerandomised(by=("revenue_year",), acceptance=0.1).assign(
            whole(5), [0.4, 0.6], keyed(whole(5), "", "assignment")
        )


@pytest.mark.parametrize(("design", "shares"), ASSIGNMENT, ids=repr)
def test_unknown_measures_are_no_reason_to_leave_a_unit_out(design, shares):
    frame = whole(9)
    for values in frame.measures.values():
        values[::3] = np.nan
    found = design.assign(frame, shares, keyed(frame, "x", "assignment"))
    assert len(found.arms) == len(frame)
