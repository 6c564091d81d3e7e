"""The contract of an analysis plugin."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from pilot.analysis.comparison import Comparison, NotEnoughData
from pilot.analysis.evidence import Evidence, Need, Scale
from pilot.analysis.sizing import Expected, check_planned, smallest_effect, smallest_size
from pilot.errors import InputError
from pilot.parts import Part


class Analysis(Part):
    """Compares one pilot arm with control from the evidence it declared, and says how many units that takes.

    Attributes:
        needs: All it may ask the host for; `asks` says for what, on a scale. All but `ASSIGNED`, which is used where
            known, must then be in the evidence.
        scales: The scales it is right for.
        reference: Where the method is described.
        on_scale: Whether its estimate is the difference of the arms' means, or shares, on the outcome's own scale. Margins
            are on that scale, so a plan takes no other.
        columns: What it uses of rows beside the outcome: `covariates`, `clusters`, `weights`.
        sizes: What `effect` means in `power`, such as `difference of means`; empty where no size can be planned.
    """

    needs: ClassVar[frozenset[Need]]
    scales: ClassVar[frozenset[Scale]]
    reference: ClassVar[str]
    sizes: ClassVar[str] = ""
    on_scale: ClassVar[bool] = False
    columns: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        """Let `power` of every analysis, also of other plugins, refuse what no formula notices: effects or units of nan."""
        super().__init_subclass__(**options)
        if "power" in vars(cls):
            cls.power = _checked(cls.power)  # type: ignore[assignment,method-assign]

    @abstractmethod
    def compare(self, evidence: Evidence, arm: str) -> Comparison | NotEnoughData:
        """Compare `arm` with the first arm of the evidence. Never changes the evidence.

        Raises:
            InputError: The evidence lacks what `needs` names, its scale does not fit, or there is no such arm.
        """

    def asks(self, scale: Scale) -> frozenset[Need]:
        """What of `needs` it asks for where the outcome has this scale: counts where they tell all, rows elsewhere."""
        return self.needs

    @classmethod
    def uses(cls) -> frozenset[str]:
        """What it uses beside the outcome: `covariates`, `clusters`, `weights`. The rest it would pass over."""
        joint = {"covariates"} if Need.JOINT in cls.needs else set()
        clusters = {"clusters"} if Need.CLUSTERS in cls.needs else set()
        return cls.columns | joint | clusters

    def power(self, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        """The chance that the analysis shows `effect`, if it is true.

        Args:
            expected: What is expected of control, and of the spread.
            effect: The true effect, pilot minus control, in the sense of `sizes`.
            n: Analysed units of control and of the pilot arm; fractions are allowed.

        Raises:
            InputError: This analysis plans no sizes, `expected` lacks what it needs for that, or the effect or a number of
                units is not finite.
        """
        raise InputError(
            f"{self.key} plans no sample size", place=self.key, remedy="Plan with an analysis that does, such as welch"
        )

    def sample_size(self, expected: Expected, effect: float, *, power: float = 0.8) -> tuple[float, float]:
        """Units of control and of the pilot arm to be analysed, unrounded, so that `effect` is shown with this power.

        Losses on the way to the analysis come on top: see `pilot.analysis.planning.plan_size`.

        Raises:
            InputError: As for `power`; or no number of units is enough.
        """
        return smallest_size(lambda n: self.power(expected, effect, n), expected.share, power, place=self.key)

    def mde(self, expected: Expected, n: tuple[float, float], *, power: float = 0.8, sign: int = 1) -> float:
        """The smallest true effect that `n` analysed units show with this power.

        Args:
            expected: What is expected of control, and of the spread.
            n: Analysed units of control and of the pilot arm.
            power: The wanted chance.
            sign: 1 for an increase, -1 for a decrease.

        Raises:
            InputError: As for `power`; or no effect is large enough.
        """
        return smallest_effect(lambda effect: self.power(expected, effect, n), sign, power, place=self.key)


_Power = Callable[[Any, Expected, float, tuple[float, float]], float]


def _checked(power: _Power) -> _Power:
    @wraps(power)
    def checked(self: Analysis, expected: Expected, effect: float, n: tuple[float, float]) -> float:
        check_planned(effect, n)
        return power(self, expected, effect, n)

    return checked
