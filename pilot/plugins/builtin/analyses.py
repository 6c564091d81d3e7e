"""Built-in analyses. The methods themselves are in `pilot.analysis`, where a notebook can use them."""

from __future__ import annotations

from pilot.analysis.methods.amounts import StandardisedDifference, WinsorisedDifference
from pilot.analysis.methods.balance import Balance
from pilot.analysis.methods.bayes import BetaBinomial, Dirichlet, NormalPosterior
from pilot.analysis.methods.bootstrap import Bootstrap
from pilot.analysis.methods.changes import DifferenceInDifferences
from pilot.analysis.methods.clusters import ClusterMeans, ClusterPermutation, ClusterRobust
from pilot.analysis.methods.compliance import ComplierAverage
from pilot.analysis.methods.exact import ExactPermutation
from pilot.analysis.methods.hazards import CoxRegression, LogRank
from pilot.analysis.methods.heterogeneity import Heterogeneity
from pilot.analysis.methods.missing import LeeBounds, ManskiBounds
from pilot.analysis.methods.mixedmodels import EstimatingEquations, MixedModel
from pilot.analysis.methods.noninferiority import Equivalence, NonInferiority, NonInferiorityShares
from pilot.analysis.methods.noninferiorityranks import NonInferiorityRanks
from pilot.analysis.methods.ordinal import ProportionalOddsModel
from pilot.analysis.methods.ranks import BrunnerMunzel, MannWhitney
from pilot.analysis.methods.ratios import RatioOfSums, RelativeChange
from pilot.analysis.methods.recommendation import NpsDifference
from pilot.analysis.methods.regression import Ancova, Cuped, Lin
from pilot.analysis.methods.rerandomisation import RerandomisedDifference
from pilot.analysis.methods.sampleratio import SampleRatio
from pilot.analysis.methods.sequential import AlwaysValidDifference, GroupSequential
from pilot.analysis.methods.severalarms import Dunnett, KruskalWallis, WelchAnova
from pilot.analysis.methods.shares import MiettinenNurminen, Newcombe, OddsRatio, RiskRatio
from pilot.analysis.methods.stratifiedranks import ExactRankPermutation, VanElteren
from pilot.analysis.methods.stratifiedshares import MantelHaenszel, StratifiedMiettinenNurminen
from pilot.analysis.methods.surveyweights import SurveyWeighted, WeightedResponse
from pilot.analysis.methods.survival import KaplanMeier, RestrictedMeanTime
from pilot.analysis.methods.tables import ChiSquareTest, CochranMantelHaenszel, Trend
from pilot.analysis.methods.tipping import TippingPoint
from pilot.analysis.methods.unconditional import Barnard, Boschloo, Fisher
from pilot.analysis.methods.weightedranks import WeightedRanks
from pilot.analysis.methods.welch import StratifiedDifference, Welch
from pilot.api import Analysis, hookimpl

BY_SUBJECT: dict[str, tuple[type[Analysis], ...]] = {
    "means": (Welch, StratifiedDifference, ExactPermutation),
    "ranks and levels": (
        MannWhitney,
        BrunnerMunzel,
        VanElteren,
        ExactRankPermutation,
        ProportionalOddsModel,
        ChiSquareTest,
        Trend,
        CochranMantelHaenszel,
        NpsDifference,
    ),
    "shares": (
        MiettinenNurminen,
        Newcombe,
        RiskRatio,
        OddsRatio,
        Fisher,
        Boschloo,
        Barnard,
        MantelHaenszel,
        StratifiedMiettinenNurminen,
    ),
    "margins": (NonInferiority, NonInferiorityShares, Equivalence, NonInferiorityRanks),
    "adjusted": (Cuped, Ancova, Lin, DifferenceInDifferences, RerandomisedDifference),
    "amounts": (RatioOfSums, RelativeChange, WinsorisedDifference, StandardisedDifference, Bootstrap),
    "clusters": (ClusterRobust, ClusterMeans, ClusterPermutation, MixedModel, EstimatingEquations),
    "handled otherwise": (ComplierAverage,),
    "times": (KaplanMeier, RestrictedMeanTime, LogRank, CoxRegression),
    "surveys": (SurveyWeighted, WeightedResponse, WeightedRanks),
    "several arms or strata": (WelchAnova, Dunnett, KruskalWallis, Heterogeneity),
    "beliefs": (BetaBinomial, Dirichlet, NormalPosterior),
    "looks": (AlwaysValidDifference, GroupSequential),
    "missing answers": (LeeBounds, ManskiBounds, TippingPoint),
    "the experiment itself": (Balance, SampleRatio),
}
"""The built-in analyses in the order in which they are listed."""


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in analyses, the ones for means first."""
    return [analysis for analyses in BY_SUBJECT.values() for analysis in analyses]
