"""The client's side of a guarded Flower app: one mod."""

from collections.abc import Callable
from os import PathLike

from flwr.app import Context, Message, UserConfig

from privfl.core import Account, Registry, require
from privfl.crypto import Stream
from privfl.flower._mod import App, Key, Mod, OfContext
from privfl.flower._policy import Policy
from privfl.flower._served import require_served
from privfl.pipeline import Pipeline


def client_mod(
    shield: Pipeline | Callable[[UserConfig], Pipeline],
    *,
    policy: Policy | None = None,
    ledger: OfContext[Account] | None = None,
    registry: OfContext[Registry] | None = None,
    identity: OfContext[Key] | None = None,
    memory: OfContext[str | PathLike[str]] | None = None,
    generator: Stream | None = None,
) -> Callable[[Message, Context, App], Message]:
    """Return the one mod of a guarded app: ``ClientApp(mods=[client_mod(shield)])``.

    The mod speaks the pipeline's protocol. When that asks for the update it lets the app train, and
    sends what the pipeline made of it. What does not fit is answered by an error: a message that
    did not come through `guard`, another pipeline, a round outside of the policy, a spent budget.

    Each argument but the policy may be a function of Flower's ``Context`` (the shield: of its
    ``run_config``), since a mod is made when the app is imported, for every node alike.

    Args:
        shield: the pipeline, the same as the server's.
        policy: what this client agrees to where the server's pipeline is another one; None: its
            hash must be that of ``shield``.
        ledger: this client's own, such as ``ledger.dataset("clinic-3")``; it is charged before an
            update leaves.
        registry: the public keys of all clients, for a protocol that signs.
        identity: this client's name and key; None reads the file that the node's configuration
            names: ``--node-config 'privfl-identity="clinic-3.identity.toml"'``.
        memory: a file of this client's own that remembers in which sums it was. Flower forgets a
            client's state with each new run and each restart of its SuperNode; without the file a
            second run on the same model may have a second sum (rule R16). With it, a model whose
            round was lost after all clients showed their shares is refused for good: go on from
            another one.
        generator: replays the noise, and marks what is charged as not private (rule R28).

    Guarantees:
        - Nothing leaves but letters of the protocol and error replies with public values.
        - What the client keeps between messages is a versioned value in ``Context.state``, and is
          written before the mod returns its reply.

    Raises:
        ValueError: for a protocol that signs, without a registry.
        CompositionError: for a pipeline that trains.
    """
    if isinstance(shield, Pipeline):
        require_served(shield, registry)
    capped = policy is not None and policy.largest_epsilon is not None
    wanted = "largest_epsilon= caps what this client's own ledger comes to: pass ledger="
    require(not capped or ledger is not None, wanted, "none")
    return Mod(shield, policy, ledger, registry, identity, memory, generator)
