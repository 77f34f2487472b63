"""Sequential inference: p-values and intervals that stay valid however often one looks at the data.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 2024, eq. (8). The p-value is the inverse of this interval, as for the normal mixture
in Johari, Koomen, Pekelis, Walsh, "Peeking at A/B tests", KDD 2017.
"""

from math import exp, log, sqrt


def tuning(alpha: float, n: float) -> float:
    """Return the parameter rho^2 with which the interval is tightest at about n observations. alpha: its error rate.

    Source: Waudby-Smith et al. 2024, appendix B.2: rho^2 = (-2 ln a + ln(-2 ln a + 1)) / n.
    """
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / n


def radius(standard_error: float, n: float, alpha: float, planned: float) -> float:
    """Return half the width of the interval around an estimate from n observations with this standard error. planned:
    the number of observations at which the interval should be tightest."""
    spread = n * tuning(alpha, planned)
    return standard_error * sqrt(2 * (spread + 1) / spread * log(sqrt(spread + 1) / alpha))


def p_value(estimate: float, standard_error: float, n: float, alpha: float, planned: float) -> float:
    """Return the smallest level at which the interval of this look excludes zero, at most 1. alpha, planned: the level
    and the number of observations for which the interval is tightest, see `tuning`.

    >>> p_value(0.0, 1.0, 100, 0.05, 100)
    1.0
    """
    if standard_error <= 0:
        return 1.0
    spread = n * tuning(alpha, planned)
    z = estimate / standard_error
    return min(1.0, sqrt(spread + 1) * exp(-(z**2) * spread / (2 * (spread + 1))))
