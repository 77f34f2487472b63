"""Answers that hold however often one looks: the p-value and the interval stay valid at every look.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 2024, eq. (8); the p-value is its inverse, that of the normal mixture in Johari,
Koomen, Pekelis, Walsh, "Peeking at A/B tests", KDD 2017.
"""

from math import exp, log, sqrt


def tuning(alpha: float, n: float) -> float:
    """rho^2 that makes the interval tightest at about n observations.

    Source: Waudby-Smith et al. 2024, appendix B.2: rho^2 = (-2 ln a + ln(-2 ln a + 1)) / n.
    """
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / n


def radius(standard_error: float, n: float, alpha: float, planned: float) -> float:
    """Half the width of the interval around an estimate of this standard error, made of n observations.

    planned: the number of observations at which it should be tightest.
    """
    spread = n * tuning(alpha, planned)
    return standard_error * sqrt(2 * (spread + 1) / spread * log(sqrt(spread + 1) / alpha))


def p_value(estimate: float, standard_error: float, n: float, alpha: float, planned: float) -> float:
    """The smallest level at which the interval of this look leaves out zero, at most 1.

    >>> p_value(0.0, 1.0, 100, 0.05, 100)
    1.0
    """
    if standard_error <= 0:
        return 1.0
    spread = n * tuning(alpha, planned)
    z = estimate / standard_error
    return min(1.0, sqrt(spread + 1) * exp(-(z**2) * spread / (2 * (spread + 1))))
