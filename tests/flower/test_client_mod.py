"""A mod is made once for all nodes, and what is a node's own comes from its context."""

import pickle

import numpy as np
import pytest

from flower.apps_for_tests import Keys, app_that_learns, ready, record
from privfl import Pipeline
from privfl.core import ProtocolAbort, Registry
from privfl.core._identity_file import write_identity
from privfl.crypto import Identity
from privfl.defenses.dp import DPSGD, Clip
from privfl.defenses.masking import SecAgg
from privfl.flower import InProcessGrid, client_mod
from privfl.flower._mod import IDENTITY

N = 4
KEYS = Keys(N)
UPDATES = [{"w": np.array([3.0, 4.0])} for _ in range(N)]
MASKED = Pipeline(Clip(1.0), SecAgg())


def zeros():
    return record(w=np.zeros(2))


def test_the_shield_may_come_from_the_runs_configuration():
    """Both sides read one number: --run-config 'clip=2.5'."""

    def shield(config):
        return Pipeline(Clip(config["clip"]))

    app = app_that_learns(UPDATES, client_mod(shield))
    for clip in (0.5, 2.5):
        run = ready(shield({"clip": clip}), app, N)
        run.grid.contexts = InProcessGrid(app, N, run_config={"clip": clip}).contexts
        run.start(zeros())
        np.testing.assert_allclose(np.linalg.norm(run.arrays["w"]), clip, rtol=1e-6)


@pytest.mark.parametrize(
    ("shield", "why"),
    [(MASKED, "ValueError in this client"), (Pipeline(DPSGD(1.0, 1.0, batch_size=2)), "R33")],
    ids=["signs", "trains"],
)
def test_a_shield_that_cannot_be_served_is_found_at_the_first_message(shield, why):
    app = app_that_learns(UPDATES, client_mod(lambda config: shield))
    run = ready(Pipeline(), app, N)
    with pytest.raises(ProtocolAbort, match=why):
        run.start(zeros())


def configured(folder, keys=KEYS):
    """The configuration of each node: where its key lies, as --node-config names it."""
    out = []
    for name, key in zip(keys.names, keys.identities, strict=True):
        path = folder / f"{name}.toml"
        write_identity(path, name, key)
        out.append({IDENTITY: str(path), "partition-id": len(out)})
    return out


def test_a_nodes_name_and_key_come_from_the_file_that_its_configuration_names(tmp_path):
    app = app_that_learns(UPDATES, client_mod(MASKED, registry=KEYS.registry))
    run = ready(MASKED, app, N, registry=KEYS.registry)
    run.grid.contexts = InProcessGrid(app, configured(tmp_path)).contexts
    run.start(zeros())
    assert run.history[0].survivors == tuple(KEYS.names)
    np.testing.assert_allclose(run.arrays["w"], [0.6, 0.8], atol=1e-3)


def test_a_node_without_a_key_is_nobody_and_the_others_go_on(tmp_path):
    app = app_that_learns(UPDATES, client_mod(MASKED, registry=KEYS.registry))
    run = ready(MASKED, app, N, registry=KEYS.registry)
    configurations = configured(tmp_path)
    del configurations[0][IDENTITY]
    run.grid.contexts = InProcessGrid(app, configurations).contexts
    run.start(zeros())
    assert run.history[0].survivors == ("c1", "c2", "c3")


def test_a_node_whose_key_is_not_the_registrys_is_nobody(tmp_path):
    others = Keys(N)
    others.identities[0] = Identity.of(bytes([99]) * 32)
    app = app_that_learns(UPDATES, client_mod(MASKED, registry=KEYS.registry))
    run = ready(MASKED, app, N, registry=KEYS.registry)
    run.grid.contexts = InProcessGrid(app, configured(tmp_path, others)).contexts
    run.start(zeros())
    assert run.history[0].survivors == ("c1", "c2", "c3")


def test_a_registry_may_be_a_function_of_the_context():
    """A node reads the table from its own disk."""
    seen = []

    def registry(context):
        seen.append(context.node_id)
        return KEYS.registry

    app = app_that_learns(UPDATES, client_mod(MASKED, registry=registry, identity=KEYS.of))
    ready(MASKED, app, N, registry=KEYS.registry).start(zeros())
    assert set(seen) == {1, 2, 3, 4}


def test_a_client_whose_registry_is_another_signs_nothing_for_this_one():
    """A server that hands out a table of its own speaks for nobody."""
    strange = Registry({name: bytes([k + 1]) * 32 for k, name in enumerate(KEYS.names)})
    app = app_that_learns(UPDATES, client_mod(MASKED, registry=strange, identity=KEYS.of))
    run = ready(MASKED, app, N, registry=KEYS.registry).start(zeros())
    assert run.history[0].aborted
    np.testing.assert_array_equal(run.arrays["w"], [0.0, 0.0])


@pytest.mark.parametrize("shield", [Pipeline(Clip(1.0)), MASKED], ids=["plain", "masked"])
def test_a_mod_crosses_a_process(shield):
    """Simulation engines pickle apps."""
    mod = client_mod(shield, registry=KEYS.registry if shield.protocol.signs else None)
    assert pickle.loads(pickle.dumps(mod)) == mod


def test_a_name_without_its_key_is_never_shown():
    mod = client_mod(MASKED, registry=KEYS.registry, identity=("c0", KEYS.identities[0]))
    assert "c0" not in repr(mod)
