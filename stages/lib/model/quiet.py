"""Keep libraries from printing what helps nobody. To be imported before transformers and peft."""

import os
import warnings

import torch

if not torch.cuda.is_available():
    # DeepSpeed looks for a device when it is imported, in use or not, and warns if there is none.
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

from transformers.utils import logging

logging.disable_progress_bar()  # "Loading weights" takes less than a second
# peft and DeepSpeed call these by their old names.
OLD_NAMES = r"`(is_gradient_checkpointing|torch\.distributed\.\w+)` is deprecated"
warnings.filterwarnings("ignore", OLD_NAMES, FutureWarning)
