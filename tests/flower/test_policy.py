"""A client runs what it agreed to, whatever the server writes into its letters."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import Keys, guarded_app, ready, record
from privfl import Ledger, Pipeline
from privfl.compression import Quantize
from privfl.core import ProtocolAbort
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import TrimmedMean
from privfl.flower import Policy, Reason, client_mod
from privfl.flower._letters import Ask, without_ask
from privfl.parts import Grouped, Mean, Plain, Weigh

N = 4
KEYS = Keys(N)
UPDATES = [{"w": np.array([3.0, 4.0, k])} for k in range(N)]
BOTH = {"accepting": {"local_and_central_noise"}}


def run(own, server, policy, *, n=N, rounds=1, ask=None, keys=None, ledger=None, strategy=None):
    signs = keys or server.protocol.signs or own.protocol.signs
    app = guarded_app(own, UPDATES, keys=KEYS if signs else None, policy=policy, ledger=ledger)
    guarding = {"registry": KEYS.registry} if signs else {}
    made = ready(server, app, n, ask=ask, strategy=strategy, **guarding)
    return made.start(record(w=np.zeros(3)), rounds=rounds)


OWN = Pipeline(Clip(2.0))
NOISY = Pipeline(Clip(2.0), LocalGaussianNoise(0.5))
MASKED = Pipeline(Clip(2.0), SecAgg())

ADMITTED = [
    # its own numbers, where the policy says nothing
    (OWN, Policy(), OWN),
    (OWN, Policy(), Pipeline(Clip(1.5))),
    (NOISY, Policy(), Pipeline(Clip(2.0), LocalGaussianNoise(0.6))),
    (MASKED, Policy(), MASKED),
    # the server's business
    (OWN, Policy(), Pipeline(Clip(2.0), TrimmedMean(n_byzantine=1))),
    (OWN, Policy(), Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(0.1))),
    (OWN, Policy(), Pipeline(Clip(2.0), Plain(), Clip(1.0), Mean())),
    # at the bound and within it
    (OWN, Policy(largest_clip=5.0), Pipeline(Clip(5.0))),
    (OWN, Policy(largest_clip=5.0), Pipeline(Clip(0.1))),
    (NOISY, Policy(smallest_noise_multiplier=0.2), Pipeline(Clip(2.0), LocalGaussianNoise(0.2))),
    (NOISY, Policy(smallest_noise_multiplier=0.2), Pipeline(Clip(2.0), LocalGaussianNoise(9.0))),
    (OWN, Policy(smallest_cohort=N), OWN),
    (OWN, Policy(smallest_cohort=2), OWN),
    # protocols by name and by what they are
    (MASKED, Policy(protocols=["SecAgg"]), Pipeline(Clip(2.0), SecAgg(threshold=4))),
    (MASKED, Policy(protocols=[SecAgg(threshold=4)]), Pipeline(Clip(2.0), SecAgg(threshold=4))),
    (MASKED, Policy(protocols=["BFV", SecAgg()]), MASKED),
    (OWN, Policy(protocols=["SecAgg", "Plain"]), MASKED),
    (OWN, Policy(protocols=[BFV(published=True)]), Pipeline(Clip(2.0), BFV(published=True))),
    (
        Pipeline(Clip(2.0), Grouped(Plain(), size=2)),
        Policy(protocols=["Grouped", "Plain"]),
        Pipeline(Clip(2.0), Grouped(Plain(), size=4)),
    ),
    # conditions that it accepts itself
    (
        Pipeline(Clip(2.0), accepting={"uniform_weights"}),
        Policy(),
        Pipeline(Clip(1.0)),
    ),
]


@pytest.mark.parametrize(("own", "policy", "server"), ADMITTED)
def test_what_the_policy_allows_is_run(own, policy, server):
    made = run(own, server, policy)
    assert len(made.history[0].survivors) == N
    assert made.history[0].rejected == {}


REFUSED = [
    (OWN, Policy(), Pipeline(Clip(2.0001)), "A clip norm of 2.0001, this client allows 2"),
    (OWN, Policy(), Pipeline(), "asks clients to run nothing, this one runs Clip"),
    (OWN, Policy(largest_clip=1.0), OWN, "A clip norm of 2, this client allows 1"),
    (OWN, Policy(largest_clip=5.0), Pipeline(Clip(5.001)), "clip norm of 5.001"),
    (OWN, Policy(largest_clip=5.0), Pipeline(Plain(), Clip(1.0), Mean()), "to run nothing"),
    (
        NOISY, Policy(), Pipeline(Clip(2.0), LocalGaussianNoise(0.49)),
        "A noise multiplier of 0.49, this client asks for 0.5",
    ),
    (NOISY, Policy(), OWN, "this one runs Clip, LocalGaussianNoise"),
    (
        NOISY, Policy(), Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(0.5)),
        "this one runs Clip, LocalGaussianNoise",
    ),
    (
        NOISY, Policy(smallest_noise_multiplier=0.2),
        Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(0.5)), "runs Clip, LocalGaussianNoise",
    ),
    (
        NOISY, Policy(smallest_noise_multiplier=0.2),
        Pipeline(Clip(2.0), LocalGaussianNoise(0.19)), "multiplier of 0.19",
    ),
    (
        Pipeline(Clip(2.0), LocalGaussianNoise(0.5), Mean(), CentralGaussianNoise(0.5), **BOTH),
        Policy(),
        Pipeline(Clip(2.0), LocalGaussianNoise(0.01), Mean(), CentralGaussianNoise(0.5), **BOTH),
        "noise multiplier of 0.01",
    ),
    (OWN, Policy(smallest_noise_multiplier=0.3), OWN, "A noise multiplier of 0, .* asks for 0.3"),
    (OWN, Policy(smallest_cohort=N + 1), OWN, f"A cohort of {N}, this client asks for {N + 1}"),
    (MASKED, Policy(), OWN, "Plain.* is not among the protocols"),
    (MASKED, Policy(), Pipeline(Clip(2.0), SecAgg(threshold=4)), "not among the protocols"),
    (MASKED, Policy(), Pipeline(Clip(2.0), BFV(published=True)), "not among the protocols"),
    (MASKED, Policy(protocols=["BFV"]), MASKED, "SecAgg.* is not among the protocols"),
    (MASKED, Policy(protocols=[SecAgg(threshold=4)]), MASKED, "not among the protocols"),
    (MASKED, Policy(protocols=[]), MASKED, "not among the protocols"),
    (
        Pipeline(Clip(2.0), Grouped(Plain(), size=4)), Policy(protocols=["Plain"]),
        Pipeline(Clip(2.0), Grouped(Plain(), size=2)), "not among the protocols",
    ),
    (
        OWN, Policy(), Pipeline(Clip(2.0), accepting={"uniform_weights"}),
        "accepts uniform_weights, and this client does not",
    ),
    (
        OWN, Policy(protocols=["SecAgg"]),
        Pipeline(Clip(2.0), SecAgg(), Mean(), CentralGaussianNoise(1.0),
                 accepting={"exact_sum_to_server"}),
        "accepts exact_sum_to_server",
    ),
    (OWN, Policy(), Pipeline(Clip(2.0), Weigh(max_examples=10)), "to run Clip, Weigh, this"),
    (Pipeline(Clip(2.0), Quantize(8)), Policy(), OWN, "this one runs Clip, Quantize"),
    (
        Pipeline(Clip(2.0), Grouped(SecAgg(), size=2)), Policy(protocols=["Grouped", "SecAgg"]),
        Pipeline(Clip(2.0), Grouped(Plain(), size=2)), "not among the protocols",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("own", "policy", "server", "why"), REFUSED)
def test_what_it_does_not_allow_is_refused_and_no_update_leaves(own, policy, server, why):
    with pytest.raises(ProtocolAbort, match=why) as aborted:
        run(own, server, policy, keys=True)
    assert "Every client refuses" in str(aborted.value)


def test_the_app_does_not_even_train():
    trained = []

    class Telling(dict):
        def get(self, name, default):
            trained.append(name)
            return np.zeros(3)

    app = guarded_app(OWN, [Telling()] * N, policy=Policy(largest_clip=1.0))
    with pytest.raises(ProtocolAbort):
        ready(OWN, app, N).start(record(w=np.zeros(3)))
    assert trained == []
    allowed = guarded_app(OWN, [Telling()] * N, policy=Policy(largest_clip=2.0))
    ready(OWN, allowed, N).start(record(w=np.zeros(3)))
    assert trained == ["w"] * N


@pytest.mark.parametrize(
    "server",
    [
        Pipeline(Clip(1.9)),
        Pipeline(Clip(2.0), Plain(), Mean()),
        Pipeline(Clip(2.0), accepting={"uniform_weights"}),
        Pipeline(Clip(2.0), TrimmedMean(n_byzantine=1)),
    ],
    ids=repr,
)
def test_without_a_policy_the_servers_pipeline_must_be_the_clients_own(server):
    with pytest.raises(ProtocolAbort, match="The server runs another pipeline than this client"):
        run(OWN, server, None)


def with_text(text):
    """Change the pipeline's text in every letter."""

    def ask(message):
        changed = replace(Ask.of(message), pipeline=text)
        message.content = changed.into(without_ask(message.content))
        return message

    return ask


UNREADABLE = [
    "",
    "Pipeline",
    "Clip(2.0)",
    "None",
    "Pipeline(Unheard(2.0))",
    "Pipeline(Clip)",
    "Pipeline(Clip())",
    "Pipeline(Clip(2.0, 3.0, 4.0))",
    "Pipeline(Clip(-1.0))",
    "Pipeline(Clip(float('nan')))",
    "Pipeline(Clip(1e400), Mean(), Mean())",
    "Pipeline(Clip(2.0), SecAgg(), TrimmedMean(n_byzantine=1))",
    "Pipeline(*[Clip(2.0)])",
    "Pipeline(**{'accepting': {'uniform_weights'}}, unheard=1)",
    "Pipeline(Clip(2.0)); import os",
    "Pipeline(Clip(2.0)).aggregate",
    "Pipeline.average(Pipeline(), [], None)",
    "Pipeline(Clip(9**9**9))",
    "Pipeline(Clip(2.0), accepting={'a' * 10**10})",
    "Pipeline(" * 60 + ")" * 60,
    "Pipeline(Clip(" + "(" * 5000 + "2.0" + ")" * 5000 + "))",
    "Pipeline(Clip(" + "-" * 30_000 + "2.0))",
    "Pipeline(Clip(" + "1+" * 20_000 + "2.0))",
    "\0",
]
CODE = [
    "__import__('pathlib').Path({path!r}).touch()",
    "Pipeline(__import__('pathlib').Path({path!r}).touch())",
    "Pipeline(Clip(2.0), accepting=open({path!r}, 'w').write('x'))",
    "Pipeline(Clip(clip_norm=exec(\"open({path!r}, 'w')\")))",
    "(lambda: open({path!r}, 'w'))()",
    "Pipeline(Clip([open({path!r}, 'w') for _ in '1'][0]))",
    "Pipeline(Clip((x := open({path!r}, 'w'))))",
    "f'{{open({path!r}, chr(119))}}'",
    "getattr(Pipeline(), '__class__')(open({path!r}, 'w'))",
    "Pipeline.__init__.__globals__['__builtins__']['open']({path!r}, 'w')",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:40])
def test_a_text_that_is_no_pipeline_of_known_parts_gets_an_error(text):
    with pytest.raises(ProtocolAbort, match="Every client refuses"):
        run(OWN, OWN, Policy(largest_clip=9.0), ask=with_text(text))


@pytest.mark.parametrize("text", CODE)
def test_the_servers_text_is_read_and_never_run(text, tmp_path):
    path = tmp_path / "ran"
    with pytest.raises(ProtocolAbort, match="parts that this client does not know"):
        run(OWN, OWN, Policy(largest_clip=9.0), ask=with_text(text.format(path=str(path))))
    assert not path.exists()


def test_a_text_of_one_pipeline_over_an_opening_of_another_is_refused():
    """What is agreed to is what runs: the opening holds the hash of the text's pipeline."""
    with pytest.raises(ProtocolAbort, match="The server runs another pipeline"):
        run(OWN, Pipeline(Clip(9.0)), Policy(), ask=with_text(repr(OWN)))
    with pytest.raises(ProtocolAbort, match="The server runs another pipeline"):
        run(OWN, OWN, Policy(largest_clip=9.0), ask=with_text(repr(Pipeline(Clip(9.0)))))


def test_a_later_letter_with_another_text_is_refused_too():
    """The policy is asked in every stage, not when the round opens."""
    other = Pipeline(Clip(9.0), SecAgg())

    counted = []

    def ask(message):
        if Ask.of(message).kind == "hello":
            return message
        counted.append(message)
        return with_text(repr(other))(message) if len(counted) > N else message

    made = run(MASKED, MASKED, Policy(), ask=ask)
    assert made.history[0].aborted
    errors = [each for each in made.grid.answered if each.has_error()]
    assert {each.error.code for each in errors} == {Reason.REFUSED}


def test_a_clip_norm_that_adapts_is_checked_in_each_round():
    """All updates are longer than C, so that it grows by exp(.2 / 2) a round: .5, .553, .611."""
    adaptive = Pipeline(AdaptiveClip(0.5))
    made = run(adaptive, adaptive, Policy(largest_clip=0.6), rounds=4)
    assert [bool(each.aborted) for each in made.history] == [False, False, True, True]
    assert "A clip norm of 0.610701, this client allows 0.6" in made.history[2].aborted
    np.testing.assert_allclose(made.arrays["w"], _two_rounds(), rtol=1e-6)


def _two_rounds():
    rows = np.stack([update["w"] for update in UPDATES])
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    return unit * 0.5 * (1 + np.exp(0.1))


# a budget of the client's own


def own_ledgers(folder):
    """A ledger for each client, as each would have its own file."""

    def account(context):
        k = context.node_config["partition-id"]
        return Ledger(folder / f"clinic-{k}.db").dataset(f"clinic-{k}")

    return account


def test_a_client_stops_at_its_own_epsilon_and_the_guard_ends_cleanly(tmp_path):
    for folder in ("free", "capped"):
        (tmp_path / folder).mkdir()
    free = run(NOISY, NOISY, Policy(), rounds=2, ledger=own_ledgers(tmp_path / "free"))
    assert len(free.history) == 2
    two = Ledger(tmp_path / "free/clinic-0.db").epsilon(1e-5).upper
    policy = Policy(largest_epsilon=two * 1.001)
    capped = run(NOISY, NOISY, policy, rounds=5, ledger=own_ledgers(tmp_path / "capped"))
    assert [bool(each.aborted) for each in capped.history] == [False, False, True]
    assert "above the budget" in capped.history[2].aborted
    assert len(capped.grid.asked) == 3 * N
    last = capped.grid.answered[-N:]
    assert [each.error.code for each in last] == [Reason.SPENT] * N
    assert len(capped.arrays["w"]) == 3
    for k in range(N):
        ledger = Ledger(tmp_path / f"capped/clinic-{k}.db")
        assert len([each for each in ledger.entries if each.kind == "charge"]) == 2
        assert ledger.epsilon(1e-5).upper == pytest.approx(two)


def test_who_has_spent_more_before_drops_out_earlier_and_the_others_go_on(tmp_path):
    """The cap is on all that the client's ledger holds, whoever charged it."""
    accounts = own_ledgers(tmp_path)
    one = Pipeline(Clip(2.0), LocalGaussianNoise(0.5))
    alone = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
    run(one, one, Policy(), n=1, ledger=accounts, strategy=alone)
    spent = Ledger(tmp_path / "clinic-0.db").epsilon(1e-5).upper
    policy = Policy(largest_epsilon=spent * 1.001)
    made = run(one, one, policy, rounds=1, ledger=accounts)
    assert made.history[0].survivors == (2, 3, 4)
    assert list(made.history[0].rejected) == [1]


def test_a_cap_without_a_ledger_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="pass ledger="):
        client_mod(OWN, policy=Policy(largest_epsilon=1.0))


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"largest_clip": 0.0}, "largest_clip"),
        ({"largest_clip": -1.0}, "largest_clip"),
        ({"largest_clip": float("nan")}, "largest_clip"),
        ({"smallest_noise_multiplier": -0.1}, "smallest_noise_multiplier"),
        ({"smallest_cohort": 0}, "smallest_cohort"),
        ({"smallest_cohort": 2.5}, "smallest_cohort"),
        ({"largest_epsilon": 0.0}, "epsilon"),
        ({"largest_epsilon": 1.0, "delta": 1.0}, "delta"),
        ({"protocols": "SecAgg"}, "protocols"),
        ({"protocols": [SecAgg]}, "protocols"),
        ({"protocols": [Clip(1.0)]}, "protocols"),
    ],
    ids=str,
)
def test_a_policy_that_bounds_nothing_is_refused(bad, what):
    with pytest.raises(ValueError, match=what):
        Policy(**bad)


def test_protocols_may_come_from_an_iterator():
    policy = Policy(protocols=iter(["SecAgg", Plain()]))
    assert policy.protocols == ("SecAgg", Plain())
    for _ in range(2):
        assert len(run(OWN, OWN, policy).history[0].survivors) == N
