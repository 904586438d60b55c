"""Let ``import torchvision`` work beside a CPU build of torch.

The torchvision wheel's C++ operators link against CUDA, so they do not load there, and its Python
half dies on an operator that nobody declared. Nothing here calls these operators: declaring them
is enough. Import this before whatever imports torchvision.
"""

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_library = torch.library.Library("torchvision", "FRAGMENT")  # lives as long as the module
for _schema in _SCHEMAS:
    _library.define(_schema)
