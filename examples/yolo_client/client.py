"""What a client does: train the detector on its own pictures, and test it on others of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from offline import YOLO
from shapes import SIZE
from torch import Tensor, nn

State = Mapping[str, Tensor]

DETECTOR = Path(__file__).parent / "detector.yaml"
HERE = {"imgsz": SIZE, "batch": 4, "device": "cpu", "workers": 0, "plots": False, "verbose": False}
TRAINING = {
    "epochs": 2,
    "optimizer": "AdamW",  # by default Ultralytics picks one, and its rate, by itself
    "lr0": 0.005,
    "lrf": 1.0,  # the rate does not fall within a round
    "warmup_epochs": 0.0,
    "nbs": 4,  # as `batch`: a step after each batch
    "mosaic": 0.0,
    "scale": 0.0,
    "translate": 0.0,
    "val": False,
    "amp": False,  # its check would fetch a model
}


def make_model(seed: int = 0) -> nn.Module:
    """Build the detector that the first round starts from; no weights are fetched."""
    with torch.random.fork_rng(devices=[]):  # others draw from it too
        torch.manual_seed(seed)
        return YOLO(DETECTOR, task="detect").model


def train(start: State, data: Path, *, seed: int) -> dict[str, Tensor]:
    """Train from ``start`` as Ultralytics does, and return the weights that training ended with.

    Both ends need care:

    - `YOLO.train` builds a model that came from a YAML file anew, so ``start`` is loaded once the
      trainer's own model stands.
    - ``yolo.model`` is read back from ``best.pt`` afterwards: a moving average of the weights
      (EMA) of the best epoch, rounded to half precision. An update is what training did, so the
      trainer's own float32 weights are taken.
    """

    def begin(trainer: Any) -> None:
        trainer.model.load_state_dict(start)
        trainer.ema.ema.load_state_dict(start)

    yolo = YOLO(DETECTOR, task="detect")
    yolo.add_callback("on_pretrain_routine_end", begin)
    # this seeds the global generators; the noise and the masks of privfl do not come from them
    yolo.train(data=data, seed=seed, **_files(data, "train"), **HERE, **TRAINING)
    trained = yolo.trainer.model.state_dict()
    return {name: value.detach().clone() for name, value in trained.items()}


def test(state: State, data: Path) -> float:
    """Return mAP50 on the client's held-out pictures."""
    yolo = YOLO(DETECTOR, task="detect")
    yolo.model.load_state_dict(state)
    return float(yolo.val(data=data, **_files(data, "test"), **HERE).box.map50)


def _files(data: Path, name: str) -> dict[str, Any]:
    """Say where Ultralytics writes: beside the client's pictures, over what it wrote before."""
    return {"project": data.parent, "name": name, "exist_ok": True}
