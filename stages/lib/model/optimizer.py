"""The optimizer of a training, with and without DeepSpeed."""

import torch
from torch import nn

from stages.lib.params.training import TrainingParams


def configure_optimizer(model: nn.Module, training: TrainingParams) -> torch.optim.AdamW:
    """Return AdamW over the trainable weights; vectors (norms, biases) do not decay."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
