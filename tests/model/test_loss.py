"""The loss over the accounts, and the accuracy of a validation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages.lib.model.loss import label_loss, validation_accuracy


def outputs(logits: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(logits=logits[:, None])


def brute_force_loss(logits: torch.Tensor, labels: list[int]) -> float:
    total = 0.0
    for row, label in zip(logits.double().tolist(), labels, strict=True):
        if label >= 0:
            total -= np.log(np.exp(row[label]) / np.exp(row).sum())
    return total


def test_the_loss_is_the_mean_cross_entropy_over_the_accounts():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5), [0, 4, 2, 2, 1, 0, 3, 4]
    found = label_loss(outputs(logits), torch.tensor(labels))
    assert float(found) == pytest.approx(brute_force_loss(logits, labels) / 8)


def test_smoothing_spreads_its_share_over_all_accounts_in_training_only():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5), [0, 4, 2, 2, 1, 0, 3, 4]
    plain = brute_force_loss(logits, labels) / 8
    even = np.mean([brute_force_loss(logits, [account] * 8) / 8 for account in range(5)])
    found = label_loss(outputs(logits), torch.tensor(labels), label_smoothing=0.3)
    assert float(found) == pytest.approx(0.7 * plain + 0.3 * even)
    with torch.no_grad():
        found = label_loss(outputs(logits), torch.tensor(labels), label_smoothing=0.3)
    assert float(found) == pytest.approx(plain)


def test_a_row_of_an_unseen_account_has_no_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 5), [0, -1, 2, -1]
    found = label_loss(outputs(logits), torch.tensor(labels), torch.tensor(4))
    assert float(found) == pytest.approx(brute_force_loss(logits, labels) / 4)


def test_the_parts_of_a_step_add_up_to_its_loss_and_gradient():
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5, requires_grad=True), torch.tensor([0, 4, 2, 2, 1, 0, 3, 4])
    whole = label_loss(outputs(logits), labels, 8)
    (expected,) = torch.autograd.grad(whole, logits)
    parts = [
        label_loss(outputs(logits[part]), labels[part], 8) for part in (slice(0, 3), slice(3, 8))
    ]
    (found,) = torch.autograd.grad(sum(parts), logits)
    torch.testing.assert_close(sum(parts), whole)
    torch.testing.assert_close(found, expected)


def test_bfloat16_logits_are_added_up_in_float32():
    logits = torch.randn(8, 5, dtype=torch.bfloat16)
    found = label_loss(outputs(logits), torch.zeros(8, dtype=torch.long))
    assert found.dtype == torch.float32


def test_validation_counts_rows_of_unseen_accounts_as_wrong():
    logits = np.eye(4)[[0, 1, 2, 3]][:, None]
    found = validation_accuracy(
        SimpleNamespace(predictions=logits, label_ids=np.array([0, 1, 1, -1]))
    )
    assert found == {"accuracy": 0.5}
