"""Where epsilon is computed: from events to a bound, without a file, a clock or a coin.

An event says what was done (`dp_accounting.DpEvent`), with its noise multiplier over the most one
unit contributes, ``sigma / C``. `epsilon_of` says what that costs under a relation: in closed form
for Gaussians, else by Renyi DP, and by the privacy loss distribution where that is affordable. The
number is an upper bound, never an estimate; what has no known bound is refused.

>>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
>>> print(epsilon_of(GaussianDpEvent(1.0), delta=1e-5))
at most 4.38 (closed form)
>>> print(epsilon_of(GaussianDpEvent(1.0), delta=1e-5, relation="replace-one"))
at most 10 (closed form)
>>> print(epsilon_of(PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0)), delta=1e-5, count=100))
at most 0.719 (PLD)
>>> print(epsilon_of(GaussianDpEvent(5.0), delta=1e-5, lower=True))
between 0.725 and 0.726 (closed form)
>>> print(group_epsilon_of(GaussianDpEvent(5.0), 5, delta=1e-5))
at most 4.38 (closed form)
>>> round(noise_multiplier_for(epsilon=1.0, delta=1e-5, count=10), 2)
11.8
"""

from privfl.accounting._calibrate import calibrate, noise_multiplier_for
from privfl.accounting._closed_form import gaussian_epsilon, require_delta
from privfl.accounting._epsilon import bounds_of, epsilon_of
from privfl.accounting._group import group_epsilon_of
from privfl.accounting._interval import MEANINGLESS, Interval

__all__ = [
    "MEANINGLESS",
    "Interval",
    "bounds_of",
    "calibrate",
    "epsilon_of",
    "gaussian_epsilon",
    "group_epsilon_of",
    "noise_multiplier_for",
    "require_delta",
]
