"""The optimizer: AdamW with the configured rate, which decays matrices only."""

import torch
from torch import nn

from stages.lib.model.optimizer import configure_optimizer
from stages.lib.params.training import TrainingParams


def test_the_optimizer_has_the_configured_rate_and_decays_matrices_only():
    training = TrainingParams.model_construct(learning_rate=3e-4, weight_decay=0.2)
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    network[2].requires_grad_(False)
    optimizer = configure_optimizer(network, training)
    assert type(optimizer) is torch.optim.AdamW
    decays = {
        id(weight): group["weight_decay"]
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert decays == {
        id(network[0].weight): 0.2,
        id(network[0].bias): 0.0,
        id(network[1].weight): 0.0,
        id(network[1].bias): 0.0,
    }
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}
