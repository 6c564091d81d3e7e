"""Pure statistics on counts and moments: plain values in, frozen records out. Knows no web and no database."""

from pilot.analysis.comparison import ArmSummary, Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.methods.exact import ExactPermutation
from pilot.analysis.methods.noninferiority import NonInferiority
from pilot.analysis.methods.sampleratio import SampleRatio
from pilot.analysis.methods.shares import Newcombe
from pilot.analysis.methods.welch import StratifiedDifference, Welch
from pilot.analysis.moments import Clusters, Joint, Moments, Rows
from pilot.analysis.permutation import PermutationLaw, exact_permutation
from pilot.analysis.shares import newcombe, wilson
from pilot.analysis.sizing import Expected

__all__ = [
    "Analysis",
    "ArmSummary",
    "Check",
    "Clusters",
    "Comparison",
    "Evidence",
    "ExactPermutation",
    "Expected",
    "Joint",
    "MeanDifference",
    "Moments",
    "Need",
    "Newcombe",
    "NonInferiority",
    "NotEnoughData",
    "PermutationLaw",
    "Rows",
    "SampleRatio",
    "Scale",
    "StratifiedDifference",
    "Welch",
    "exact_permutation",
    "mean_difference",
    "newcombe",
    "wilson",
]
