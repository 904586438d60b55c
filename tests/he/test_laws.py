"""The laws of a protocol whose server opens."""

import pytest

from privfl.defenses.he import BFV, CKKS
from privfl.testing import check_protocol


@pytest.mark.parametrize("part", [CKKS(published=4), BFV(published=True)], ids=str)
def test_a_published_sum_keeps_every_law(part):
    card = check_protocol(part)
    assert "failed" not in str(card)
    assert str(card).count("passed") == 13


@pytest.mark.parametrize("part", [CKKS(), BFV()], ids=str)
def test_a_sum_that_stays_with_the_clients_has_no_release_to_ask_about(part):
    with pytest.raises(ValueError, match="must be opened by the server"):
        check_protocol(part)
