"""Differential privacy for updates: a clip, and noise whose name says where it belongs.

>>> from privfl import Pipeline
>>> from privfl.parts import Mean
>>> Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.1)).contract.noise
'central'
>>> Pipeline(Clip(1.0), Mean(), LocalGaussianNoise(1.1))
Traceback (most recent call last):
...
privfl.core._errors.CompositionError: [R5] LocalGaussianNoise(1.1) is added by \
each client, and stands where the server runs.
  Put it before the protocol, or use CentralGaussianNoise(1.1).
"""

from privfl.defenses.dp._adaptive_clip import AdaptiveClip, share_for
from privfl.defenses.dp._central_gaussian_noise import CentralGaussianNoise
from privfl.defenses.dp._clip import Clip
from privfl.defenses.dp._dpsgd import DPSGD
from privfl.defenses.dp._local_gaussian_noise import LocalGaussianNoise
from privfl.defenses.dp._make_private import make_private
from privfl.defenses.dp._make_private_with_epsilon import make_private_with_epsilon

__all__ = [
    "DPSGD",
    "AdaptiveClip",
    "CentralGaussianNoise",
    "Clip",
    "LocalGaussianNoise",
    "make_private",
    "make_private_with_epsilon",
    "share_for",
]
