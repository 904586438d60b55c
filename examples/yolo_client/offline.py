"""Ultralytics, so set that it needs no network and tells nobody.

Import it from here: it reads its environment when it is first imported.
"""

import atexit
import os
import shutil
import tempfile

os.environ["YOLO_OFFLINE"] = "true"  # no look for a network or a newer version, no usage statistics
os.environ["YOLO_AUTOINSTALL"] = "false"  # a package that is missing is an error, not a download
os.environ["YOLO_VERBOSE"] = "false"
os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="yolo_client_")  # not the person's own

import torch
from ultralytics import YOLO, settings
from ultralytics.utils import USER_CONFIG_DIR
from ultralytics.utils.nms import TorchNMS

__all__ = ["YOLO"]

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = torch.library.Library("torchvision", "FRAGMENT")  # lives as long as the module


def _switch_off() -> None:
    """Sync nothing, and log to none of the services that may be installed."""
    settings.update({name: False for name, value in settings.items() if value is True})
    # a font is asked for with each data set, and fetched where there is none; nothing is drawn here
    (USER_CONFIG_DIR / "Arial.ttf").touch()


def _mend_torchvision() -> None:
    """Let torchvision load beside a build of torch that its operators were not made for."""
    try:
        import torchvision
    except RuntimeError:  # its Python half describes operators that nobody declared
        for operator in _OPERATORS:
            _library.define(operator)
        import torchvision
    torchvision.ops.nms = TorchNMS.nms  # the one operator that detectors call, in plain torch


atexit.register(shutil.rmtree, os.environ["YOLO_CONFIG_DIR"], ignore_errors=True)
_switch_off()
_mend_torchvision()
