"""What a client does with a message."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from flower_digits.shield import shield
from flower_digits.task import Loop, load_images, make_model, test, train
from privfl import Ledger, make_private
from privfl.core import Party, Registry, read_identity
from privfl.crypto import Identity
from privfl.flower import client_mod


def folder_of(context: Context) -> Path:
    """Return this client's folder: on its own machine its own, in a simulation one of many."""
    if "folder" in context.node_config:
        return Path(str(context.node_config["folder"]))
    return Path(str(context.run_config["folder"])) / f"client-{context.node_config['partition-id']}"


def registry_of(context: Context) -> Registry:
    """Read whose keys this client trusts."""
    return Registry.read(folder_of(context) / "registry.toml")


def identity_of(context: Context) -> tuple[Party, Identity]:
    """Read this client's name and key."""
    return read_identity(folder_of(context) / "identity.toml")


def memory_of(context: Context) -> Path:
    """Return where this client remembers which models it has answered for."""
    return folder_of(context) / "memory"


mod = client_mod(shield, registry=registry_of, identity=identity_of, memory=memory_of)
app = ClientApp(mods=[mod])


@app.train()
def train_on_own_images(message: Message, context: Context) -> Message:
    """Train the model for an epoch on this client's own images."""
    model = _model_in(message)
    own, _ = load_images(folder_of(context))
    seed = int(message.content.config_records["config"]["server-round"])
    train(model, own, seed=seed, prepare=_privacy(context))
    metrics = MetricRecord({"num-examples": len(own[1])})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content, reply_to=message)


@app.evaluate()
def test_on_own_images(message: Message, context: Context) -> Message:
    """Test the model on images that this client does not train on."""
    _, held_out = load_images(folder_of(context))
    accuracy = test(_model_in(message), held_out)
    metrics = MetricRecord({"num-examples": len(held_out[1]), "accuracy": accuracy})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _privacy(context: Context) -> Callable[..., Loop] | None:
    """Return what makes each step private and charges it to this client's own ledger."""
    noise = float(context.run_config["record-noise-multiplier"])
    if noise == 0:
        return None
    return partial(
        make_private,
        clip_norm=float(context.run_config["record-clip-norm"]),
        noise_multiplier=noise,
        ledger=Ledger(folder_of(context) / "ledger.db").dataset("own images"),
    )


def _model_in(message: Message) -> nn.Module:
    model = make_model()
    model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    return model
