import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privfl.data import by_user

NAMES = st.lists(st.sampled_from(["ann", "bob", "eve", ("a", 1), None]), min_size=1, max_size=40)


@given(NAMES, st.integers(1, 4))
def test_a_client_holds_all_of_one_user_and_no_small_user_is_kept(users, least):
    counts = {user: users.count(user) for user in users}
    kept = {user for user, count in counts.items() if count >= least}
    if not kept:
        with pytest.raises(ValueError, match=f"at least least = {least} examples"):
            by_user(users, least=least)
        return
    parts = by_user(users, least=least)
    owners = [{users[row] for row in part.tolist()} for part in parts]
    assert all(len(owner) == 1 for owner in owners)
    assert {owner.pop() for owner in owners} == kept
    assert len(parts) == len(kept)
    assert [len(part) for part in parts] == [counts[users[int(part[0])]] for part in parts]
    assert all(part.dtype == torch.int64 and (part.diff() > 0).all() for part in parts)
    firsts = [int(part[0]) for part in parts]
    assert firsts == sorted(firsts)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_numbers_in_a_tensor_are_names(users):
    pairs = zip(by_user(torch.tensor(users)), by_user(users), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("users", "least", "said"),
    [
        (torch.zeros(3), 1, r"Found shape \(3,\) of torch.float32"),
        (torch.zeros(3, 1, dtype=torch.int64), 1, r"Found shape \(3, 1\) of torch.int64"),
        (["a", "b", "b"], 3, "at least least = 3 examples. Found at most 2"),
        ([], 1, "Found at most 0"),
        (["a"], 0, "least must be a whole number of at least 1"),
    ],
)
def test_users_that_cannot_be_dealt_are_refused(users, least, said):
    with pytest.raises(ValueError, match=said):
        by_user(users, least=least)
