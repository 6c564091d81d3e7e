"""Pure statistics on counts and moments: plain values in, frozen records out. Knows no web and no database."""

from pilot.analysis.arrays import evidence_of
from pilot.analysis.balance import mahalanobis, standardised
from pilot.analysis.batteries import battery_scores, cronbach_alpha, mcdonald_omega
from pilot.analysis.bootstrap import mean_endpoints
from pilot.analysis.calibration import calibrate, post_stratify, rake, weighting_classes
from pilot.analysis.choosing import Choice, choose
from pilot.analysis.clusters import design_effect, intraclass_correlation
from pilot.analysis.comparison import ArmSummary, Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.fisher import fisher_test
from pilot.analysis.inversion import permutation_interval
from pilot.analysis.means import MeanDifference, mean_difference
from pilot.analysis.methods.exact import ExactPermutation
from pilot.analysis.methods.noninferiority import NonInferiority
from pilot.analysis.methods.sampleratio import SampleRatio
from pilot.analysis.methods.shares import Newcombe
from pilot.analysis.methods.welch import StratifiedDifference, Welch
from pilot.analysis.moments import Clusters, Joint, Moments, Rows
from pilot.analysis.multiplicity import benjamini_hochberg, fixed_sequence, graphical, hochberg, holm
from pilot.analysis.ordinal import proportional_odds
from pilot.analysis.permutation import PermutationLaw, exact_permutation
from pilot.analysis.planning import Losses, SampleSize, plan_size
from pilot.analysis.precision import survey_precision, survey_size
from pilot.analysis.ratios import hedges_g
from pilot.analysis.representativeness import Dispositions, against_population, partial_r, r_indicator, response_rates
from pilot.analysis.rerandomisation import Criterion, RerandomisedLaw, acceptance_threshold
from pilot.analysis.rerandomisationtest import rerandomisation_test
from pilot.analysis.sequential import Bounds, classical_bounds, spending_bounds
from pilot.analysis.shares import agresti_caffo, clopper_pearson, miettinen_nurminen, newcombe, wilson
from pilot.analysis.sizing import Expected
from pilot.analysis.verdicts import ExpectedOutcome, VerdictChances, verdict_chances

__all__ = [
    "Analysis",
    "ArmSummary",
    "Bounds",
    "Check",
    "Choice",
    "Clusters",
    "Comparison",
    "Criterion",
    "Dispositions",
    "Evidence",
    "ExactPermutation",
    "Expected",
    "ExpectedOutcome",
    "Joint",
    "Losses",
    "MeanDifference",
    "Moments",
    "Need",
    "Newcombe",
    "NonInferiority",
    "NotEnoughData",
    "PermutationLaw",
    "RerandomisedLaw",
    "Rows",
    "SampleRatio",
    "SampleSize",
    "Scale",
    "StratifiedDifference",
    "VerdictChances",
    "Welch",
    "acceptance_threshold",
    "against_population",
    "agresti_caffo",
    "battery_scores",
    "benjamini_hochberg",
    "calibrate",
    "choose",
    "classical_bounds",
    "clopper_pearson",
    "cronbach_alpha",
    "design_effect",
    "evidence_of",
    "exact_permutation",
    "fisher_test",
    "fixed_sequence",
    "graphical",
    "hedges_g",
    "hochberg",
    "holm",
    "intraclass_correlation",
    "mahalanobis",
    "mcdonald_omega",
    "mean_difference",
    "mean_endpoints",
    "miettinen_nurminen",
    "newcombe",
    "partial_r",
    "permutation_interval",
    "plan_size",
    "post_stratify",
    "proportional_odds",
    "r_indicator",
    "rake",
    "rerandomisation_test",
    "response_rates",
    "spending_bounds",
    "standardised",
    "survey_precision",
    "survey_size",
    "verdict_chances",
    "weighting_classes",
    "wilson",
]
