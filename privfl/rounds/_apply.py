"""How a wrapper meets the declared tail."""

import torch
from torch import Tensor

from privfl.core import At
from privfl.parts import Wrapper


def apply_part(part: Wrapper, x: Tensor, at: At) -> Tensor:
    """Give a wrapper the vector, without what lies behind the body unless it covers that."""
    if part.covers_scalars:
        return part.apply(x, at)
    return torch.cat([part.apply(x[: at.plan.body], at), x[at.plan.body :]])
