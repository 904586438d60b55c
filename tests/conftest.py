"""What every test needs: one torch thread, and property tests that find the same each time."""

import torch
from hypothesis import settings

torch.set_num_threads(1)  # two threads on a busy machine are five to twenty times slower than one

settings.register_profile("privfl", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("privfl")
