"""Layers that stay with their client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from privfl.core import Layout, Party, require
from privfl.crypto import Stream
from privfl.learning._algorithm import Exchange, State, Train, weights_of
from privfl.learning._reports_loss import ReportsLoss
from privfl.parts import Trained, Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling


class Personal(TypedDict):
    """Hold the common weights, and what each client that ever trained keeps for itself."""

    common: State
    own: Mapping[Party, State]


@dataclass(frozen=True)
class FedPer(ReportsLoss[Personal]):
    """Share the body of a model and keep the layers ``personal`` at each client.

    Arivazhagan et al. 2019 (https://arxiv.org/abs/1912.00818): clients train the whole model, and
    what is personal does not travel, so that defences protect the shared part and nothing else
    leaves. With the names of its BatchNorm layers, see `batch_norms`, it is local batch
    normalisation (Li et al. 2021, https://arxiv.org/abs/2102.07623): running statistics stay too.

    Args:
        personal: names of tensors or modules, or prefixes of them, as `Layout.of` takes them.

    Guarantees:
        - No coordinate of a personal layer is in any update.
        - A client finds its personal layers as it left them, also where its update was lost.

    >>> FedPer(["head"]).personal
    ('head',)
    """

    personal: Sequence[str]

    clients_can_step: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a model of which nothing is personal."""
        super().__post_init__()
        names = (self.personal,) if isinstance(self.personal, str) else tuple(self.personal)
        require(bool(names), "personal must name at least one layer", "none", "Use FedAvg()")
        object.__setattr__(self, "personal", names)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse a layout that shares a personal layer."""
        del line, local, sampling
        shared = [entry.name for entry in layout.entries if entry.kind != "excluded"]
        found = [name for name in shared if self._is_personal(name)]
        fix = f"Leave layout= out, or use Layout.of(model, exclude={list(self.personal)})"
        require(not found, "A layout must not share personal layers", found, fix)

    def layout(self, model: nn.Module) -> Layout:
        """Leave the personal layers out of what is shared."""
        return Layout.of(model, exclude=self.personal)

    def start(self, model: nn.Module, clients: Sequence[Party]) -> Personal:
        """Start from the model's weights, the personal ones too."""
        del clients
        return {"common": weights_of(model), "own": {}}

    def round(self, state: Personal, members: Sequence[Party], exchange: Exchange) -> Personal:
        """Let everybody train body and personal layers; the mean of the bodies comes back."""
        own, train = dict(state["own"]), self.training(exchange)
        names = self._personal(exchange.layout)

        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            model.load_state_dict(dict(self.weights_of(state, client)))
            trained = train(client, model, generator)
            weights = weights_of(trained.model)
            own[client] = {name: weights[name] for name in names}
            return trained

        release = exchange(members, Train(run, train.reports), model=state["common"])
        return {"common": exchange.moved(state["common"], release), "own": own}

    def training(self, exchange: Exchange) -> Train:
        """Return what a client does with its whole model."""
        return exchange.local

    def model(self, state: Personal) -> State:
        """Return the common weights, with the personal layers that the model began with."""
        return state["common"]

    def with_model(self, state: Personal, weights: State) -> Personal:
        """Return the state with another body."""
        return {**state, "common": weights}

    def weights_of(self, state: Personal, client: Party) -> State:
        """Return the common body with a client's own layers."""
        return {**state["common"], **state["own"].get(client, {})}

    def _personal(self, layout: Layout) -> list[str]:
        """Return the names that stay, those that are tied to them too."""
        first = {entry.name: entry.tied_to or entry.name for entry in layout.entries}
        stay = {first[name] for name in first if self._is_personal(name)}
        return [name for name in first if first[name] in stay]

    def _is_personal(self, name: str) -> bool:
        return any(name == p or name.startswith(f"{p}.") for p in self.personal)


def batch_norms(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a model's BatchNorm layers.

    >>> batch_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    ('1',)
    """
    return tuple(name for name, module in model.named_modules() if isinstance(module, _BatchNorm))
