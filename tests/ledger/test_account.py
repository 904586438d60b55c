"""Accounts: what is reserved is checked and written at once, and never given back."""

import math

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dp_accounting import GaussianDpEvent, get_epsilon_gaussian

from privfl import Budget, BudgetExceeded, Ledger, LedgerTampered, Unit, Vantage
from privfl.core import Charge, Relation

DELTA = 1e-5
CHARGE = Charge(GaussianDpEvent(4.0), Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)
FITTING = 10  # releases at z = 4 within LIMIT: mu = sqrt(10) / 4
LIMIT = get_epsilon_gaussian(4 / math.sqrt(FITTING), DELTA) + 1e-6


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


def fill(account, attempts=FITTING + 5):
    done = 0
    for _ in range(attempts):
        try:
            account.reserve([CHARGE])
        except BudgetExceeded:
            break
        done += 1
    return done


def test_a_budget_lets_in_what_fits_and_nothing_more(ledger):
    assert fill(ledger.dataset("a").budget(LIMIT, DELTA)) == FITTING


def test_what_is_refused_leaves_no_trace(ledger):
    account = ledger.dataset("a").budget(LIMIT, DELTA)
    fill(account)
    before = ledger.head
    with pytest.raises(BudgetExceeded) as refusal:
        account.reserve([CHARGE])
    assert ledger.head == before
    expected = get_epsilon_gaussian(4 / math.sqrt(FITTING + 1), DELTA)
    assert refusal.value.epsilon == pytest.approx(expected, rel=1e-6)
    assert (refusal.value.limit, refusal.value.delta) == (LIMIT, DELTA)
    assert refusal.value.dataset == "a"


def test_charges_of_two_datasets_go_in_together_or_not_at_all(ledger):
    account = ledger.datasets({0: "a", 1: "b"})
    for _ in range(FITTING):
        account.reserve({0: [CHARGE]})
    before = ledger.head
    with pytest.raises(BudgetExceeded, match=r"^a: "):
        account.budget(LIMIT, DELTA).reserve({0: [CHARGE], 1: [CHARGE]})
    assert ledger.head == before


def test_what_others_charged_counts(ledger):
    for _ in range(FITTING - 1):
        ledger.dataset("the same people").reserve([CHARGE])
    assert fill(ledger.dataset("a").budget(LIMIT, DELTA)) == 1


def test_every_budget_of_an_account_holds(ledger):
    account = ledger.dataset("a").budget(100.0, DELTA).budget(LIMIT, DELTA).budget(99.0, DELTA)
    assert fill(account) == FITTING


def test_an_undefended_release_does_not_fit_any_budget(ledger):
    with pytest.raises(BudgetExceeded, match="inf"):
        ledger.dataset("a").budget(1e6, DELTA).reserve([])


def test_a_budget_about_one_unit_leaves_the_other_alone(ledger):
    account = ledger.dataset("a").within(Budget(LIMIT, DELTA, unit="record"))
    strong = Charge(GaussianDpEvent(50.0), Unit.RECORD, Vantage.SERVER, Relation.ZERO_OUT)
    weak = Charge(GaussianDpEvent(0.5), Unit.CLIENT, Vantage.SERVER, Relation.ZERO_OUT)
    account.reserve([weak, strong])  # one release: of a record the record-level claim is taken
    with pytest.raises(BudgetExceeded):
        account.reserve([weak])  # alone, it is what a record has


def test_a_failed_release_is_not_given_back(ledger):
    account = ledger.dataset("a")
    with pytest.raises(RuntimeError, match="the round broke"), account.reserve([CHARGE]):
        raise RuntimeError("the round broke")
    spent = account.epsilon(DELTA, unit="client", vantage="outsider").upper
    assert spent == pytest.approx(get_epsilon_gaussian(4.0, DELTA), rel=1e-6)


def test_a_release_is_bound_to_what_it_made(ledger):
    with ledger.dataset("a").reserve([CHARGE]) as reserved:
        reserved.bind(update=bytes(32), model=b"\1" * 32)
    charge, release = ledger.entries
    assert charge.fields["release"] == release.fields["release"]
    assert (release.fields["update"], release.fields["model"]) == ("00" * 32, "01" * 32)


def test_a_client_without_a_dataset_is_refused(ledger):
    account = ledger.datasets({0: "a", 1: "b"})
    with pytest.raises(ValueError, match="clients 0, 1"):
        account.reserve({7: [CHARGE]})


def test_a_sequence_of_charges_is_about_every_dataset(ledger):
    ledger.datasets({0: "a", 1: "b"}).reserve([CHARGE])
    assert sorted(e.fields["dataset"] for e in ledger.entries if e.kind == "charge") == ["a", "b"]


def test_an_accounts_epsilon_is_that_of_its_worst_dataset(ledger):
    account = ledger.datasets({0: "a", 1: "b"})
    account.reserve({0: [CHARGE], 1: [CHARGE]})
    account.reserve({1: [CHARGE]})
    worst = account.epsilon(DELTA, unit="client", vantage="outsider").upper
    assert worst == pytest.approx(get_epsilon_gaussian(4 / math.sqrt(2), DELTA), rel=1e-6)


def test_a_signature_is_over_the_head(ledger):
    ledger.dataset("a").reserve([CHARGE])
    head, key = ledger.head, Ed25519PrivateKey.generate()
    entry = ledger.sign(key)
    key.public_key().verify(bytes.fromhex(entry.fields["signature"]), head.encode())
    assert ledger.verify(anchor=head) == ledger.head == entry.hash


def test_an_anchor_that_is_not_in_the_chain_is_tampering(ledger):
    ledger.dataset("a").reserve([CHARGE])
    with pytest.raises(LedgerTampered):
        ledger.verify(anchor="ab" * 32)


@pytest.mark.parametrize("wrong", [{"epsilon": 0}, {"epsilon": -1}, {"delta": 0}, {"delta": 1}])
def test_a_budget_that_caps_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Budget(**({"epsilon": 1.0, "delta": DELTA} | wrong))


@pytest.mark.parametrize("records", [0, -1, 1.5])
def test_a_cap_on_records_is_a_count(ledger, records):
    with pytest.raises(ValueError, match="max_records"):
        ledger.dataset("a", max_records=records)
