"""A client for each user, as the data came."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from privfl.core import require, require_count


def by_user(users: Tensor | Sequence[Hashable], *, least: int = 1) -> tuple[Tensor, ...]:
    """Make one client of each user, from who wrote which example.

    The natural split of LEAF (Caldas et al. 2018, https://arxiv.org/abs/1812.01097, section 3).
    Users with fewer than ``least`` examples are left out, and so are their examples: how many are
    left shows how many such users there are, which is a fact about the data.

    Args:
        users: whose example it is, one an example: whole numbers (n,), or names.
        least: the fewest examples of a user that is kept.

    Returns:
        One tensor of indices a client, in rising order; clients by their first example. Whose they
        are is ``users[rows[0]]``.

    Raises:
        ValueError: for users that are no vector of whole numbers or names, or if none is left.

    Guarantees:
        - A client holds all examples of one user and no other.
        - Who is left out has fewer than ``least`` examples.

    >>> [rows.tolist() for rows in by_user(["ann", "bob", "ann", "eve", "bob"], least=2)]
    [[0, 2], [1, 4]]
    """
    require_count("least", least, least=1)
    rows: dict[Hashable, list[int]] = {}
    for row, user in enumerate(_names(users)):
        rows.setdefault(user, []).append(row)
    kept = [mine for mine in rows.values() if len(mine) >= least]
    most = max(map(len, rows.values()), default=0)
    require(bool(kept), f"A user must have at least least = {least} examples", f"at most {most}")
    device = users.device if isinstance(users, Tensor) else None
    return tuple(torch.tensor(mine, device=device) for mine in kept)


def _names(users: Tensor | Sequence[Hashable]) -> Sequence[Hashable]:
    if not isinstance(users, Tensor):
        return users
    whole = not (users.is_floating_point() or users.is_complex())
    wanted = "users must be names, or a tensor of whole numbers of shape (n,), one an example"
    require(whole and users.ndim == 1, wanted, f"shape {tuple(users.shape)} of {users.dtype}")
    return list(users.tolist())
