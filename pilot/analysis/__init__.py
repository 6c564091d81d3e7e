"""Pure statistics on counts and moments: plain values in, frozen records out. Knows no web and no database."""

from pilot.analysis.comparison import ArmSummary, Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Evidence, Moments, Need, Scale
from pilot.analysis.exact import ExactPermutation
from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.noninferiority import NonInferiority
from pilot.analysis.permutation import PermutationLaw, exact_permutation
from pilot.analysis.sampleratio import SampleRatio
from pilot.analysis.shares import Newcombe, newcombe, wilson
from pilot.analysis.welch import StratifiedDifference, Welch

__all__ = [
    "Analysis",
    "ArmSummary",
    "Check",
    "Comparison",
    "Evidence",
    "ExactPermutation",
    "MeanDifference",
    "Moments",
    "Need",
    "Newcombe",
    "NonInferiority",
    "NotEnoughData",
    "PermutationLaw",
    "SampleRatio",
    "Scale",
    "StratifiedDifference",
    "Welch",
    "exact_permutation",
    "mean_difference",
    "newcombe",
    "wilson",
]
