"""Each client's pictures, as files that Ultralytics reads."""

from pathlib import Path

import numpy as np
from PIL import Image
from shapes import NAMES, draw

N_PICTURES = 12  # to train on, and as many to test on


def deal(root: Path, n_clients: int, *, seed: int = 0) -> list[Path]:
    """Write a folder of pictures and labels for each client, and return their ``data.yaml``."""
    streams = np.random.default_rng(seed).spawn(n_clients)
    return [write(root / f"client-{k}", rng) for k, rng in enumerate(streams)]


def write(folder: Path, rng: np.random.Generator) -> Path:
    """Write one client's pictures, half of them held out, and say where they are."""
    for split in ("train", "val"):
        images, labels = folder / split / "images", folder / split / "labels"
        images.mkdir(parents=True)
        labels.mkdir()
        for k in range(N_PICTURES):
            picture = draw(rng)
            Image.fromarray(picture.pixels).save(images / f"{k:03}.png")
            (labels / f"{k:03}.txt").write_text(picture.labels, encoding="utf-8")
    told = f"path: {folder}\ntrain: train/images\nval: val/images\nnames: [{', '.join(NAMES)}]\n"
    (folder / "data.yaml").write_text(told, encoding="utf-8")
    return folder / "data.yaml"
