"""The YOLO example: its pictures and its layout anywhere, its training where Ultralytics loads."""

import copy
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/yolo_client"


@pytest.fixture
def _ultralytics():
    for name in ("ultralytics", "torchvision"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[yolo]'")
    pytest.importorskip("cv2", exc_type=ImportError)  # it needs libraries of the system


def pictures(n=100):
    from shapes import draw

    rng = np.random.default_rng(0)
    return [draw(rng) for _ in range(n)]


def boxes_by_colour(pixels):
    """Find what is red or blue in either half: kind and edges in pixels, and its area."""
    from shapes import COLOURS

    for left in (0, 32):
        half = pixels[:, left : left + 32]
        for kind, colour in enumerate(COLOURS):
            y, x = np.nonzero((half == colour).all(axis=2))
            if len(y):
                yield kind, [left + x.min(), y.min(), left + x.max() + 1, y.max() + 1], len(y)


def test_a_label_is_the_box_of_the_pixels_that_were_drawn():
    kinds = set()
    for picture in pictures():
        labels = [[float(part) for part in line.split()] for line in picture.labels.splitlines()]
        found = list(boxes_by_colour(picture.pixels))
        assert len(labels) == len(found) == 2
        for (kind, x, y, width, height), (colour, edges, _) in zip(labels, found, strict=True):
            corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            np.testing.assert_allclose(np.multiply(corners, 64), edges, atol=1e-4)
            assert kind == colour
            kinds.add(colour)
    assert kinds == {0, 1}


def test_a_rectangle_fills_its_box_and_a_disc_pi_quarters_of_it():
    for picture in pictures():
        for kind, (left, top, right, bottom), area in boxes_by_colour(picture.pixels):
            share = area / ((right - left) * (bottom - top))
            # Gauss's circle problem: a disc of diameter s >= 12 misses its area by some s pixels
            assert share == (1 if kind == 0 else pytest.approx(np.pi / 4, abs=0.05))


class Detector(nn.Module):
    """A model with all that a detector has and that must not travel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Module()
        self.head.dfl = nn.Conv2d(4, 1, 1, bias=False).requires_grad_(False)
        self.head.register_buffer("average", torch.rand(4, 3, 3, 3))
        self.register_buffer("anchors", torch.arange(5))


LOCAL = {
    "anchors",
    "bn.num_batches_tracked",
    "bn.running_mean",
    "bn.running_var",
    "head.average",
    "head.dfl.weight",
}


def test_only_trained_parameters_are_in_the_vector():
    from shield import layout_of

    model = Detector()
    layout = layout_of(model)
    assert set(layout.excluded) == LOCAL
    assert layout.statistics_dim == 0
    expected = [model.conv.weight.flatten(), model.bn.weight, model.bn.bias]
    assert torch.equal(layout.flatten(model), torch.cat(expected).detach())


@pytest.mark.parametrize("name", ["plain", "masked", "noised"])
def test_what_does_not_travel_comes_back_as_the_server_has_it(name):
    import shield

    server = Detector()
    before = copy.deepcopy(server.state_dict())
    trained = [copy.deepcopy(before) for _ in range(4)]
    for k, state in enumerate(trained):
        for value in state.values():
            value += k + 1  # in the vector a step of norm (k + 1) sqrt(116), far above the clip
    layout = shield.layout_of(server)
    after = getattr(shield, name)().averager(server, layout=layout)(trained)
    assert all(torch.equal(after[key], before[key]) for key in LOCAL)
    step = layout.flatten(after) - layout.flatten(before)
    # clipped, each of 108 + 4 + 4 equal coordinates is CLIP_NORM / sqrt(116) long; the noise on it
    # has std 0.01 * CLIP_NORM / sqrt(4), and one of 116 misses by 8 of them once in 1e12 runs
    expected = (1 + 2 + 3 + 4) / 4 if name == "plain" else shield.CLIP_NORM / 116**0.5
    miss = 0.04 * shield.CLIP_NORM
    torch.testing.assert_close(step, torch.full((116,), expected), rtol=0, atol=miss)


@pytest.mark.usefixtures("_ultralytics")
def test_training_at_rate_zero_returns_the_start_to_the_bit(tmp_path, monkeypatch):
    import client
    from dataset import deal
    from shield import layout_of

    monkeypatch.setitem(client.TRAINING, "lr0", 0.0)
    start = client.make_model(seed=5)
    trained = client.train(start.state_dict(), deal(tmp_path, 1)[0], seed=0)
    layout = layout_of(start)
    assert torch.equal(layout.flatten(trained), layout.flatten(start))
    assert not torch.equal(trained["model.0.bn.running_mean"], torch.zeros(16))  # it did train


@pytest.mark.usefixtures("_ultralytics")
def test_an_update_is_what_the_trainer_did_in_float32(tmp_path, monkeypatch):
    import client
    from dataset import deal
    from shield import layout_of

    seen = {}

    class Watched(client.YOLO):
        def train(self, **settings):
            for event in ("on_train_start", "on_train_batch_end"):
                self.add_callback(event, lambda t, e=event: seen.update({e: vector(t.model)}))
            super().train(**settings)
            seen["best.pt"] = vector(self.model)

    def vector(model):
        return layout.flatten(model).clone()

    monkeypatch.setattr(client, "YOLO", Watched)
    start = client.make_model()
    layout = layout_of(start)
    trained = client.train(start.state_dict(), deal(tmp_path, 1)[0], seed=0)
    assert {value.dtype for value in trained.values()} == {torch.float32, torch.int64}
    update = layout.flatten(trained) - layout.flatten(start)
    assert torch.equal(update, seen["on_train_batch_end"] - seen["on_train_start"])
    assert update.norm() > 1
    assert not torch.equal(layout.flatten(trained), seen["best.pt"])


@pytest.mark.usefixtures("_ultralytics")
def test_the_layout_of_the_detector_leaves_out_statistics_integers_and_dfl():
    from client import make_model
    from shield import layout_of

    model = make_model()
    trains = {name for name, value in model.named_parameters() if value.requires_grad}
    layout = layout_of(model)
    assert {entry.name for entry in layout.entries if entry.kind == "parameter"} == trains
    assert "model.4.dfl.conv.weight" in layout.excluded
    assert layout.dim == 29_986


@pytest.mark.usefixtures("_ultralytics")
def test_four_clients_learn_to_find_shapes_behind_masks(tmp_path):
    from client import make_model, test
    from dataset import deal
    from run import federate
    from shield import layout_of, masked

    datas = deal(tmp_path, 4)
    *_, models = federate(masked(), datas, 7)
    assert np.mean([test(model, data) for model, data in zip(models, datas, strict=True)]) > 0.3
    first, second = models[:2]
    name = "model.0.bn.running_mean"
    assert not torch.equal(first[name], second[name])  # each client's own
    travels = [entry.name for entry in layout_of(make_model()).entries if entry.kind == "parameter"]
    assert all(torch.equal(first[key], second[key]) for key in travels)


WATCH = """
import runpy, sys
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("NETWORK", event, args)
sys.addaudithook(watch)
sys.argv = sys.argv[1:]
sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.usefixtures("_ultralytics")
def test_a_run_asks_nothing_of_the_network(tmp_path):
    command = [sys.executable, "-c", WATCH, str(EXAMPLE / "run.py"), "--rounds", "1"]
    # Ultralytics tells nobody anything while pytest runs: it must not see that it does
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert "NETWORK" not in done.stdout
    assert done.stdout.count("round   1  mAP50") == 3
    assert list(tmp_path.iterdir()) == []
