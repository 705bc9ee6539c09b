"""The loss over the accounts, and the accuracy that validation during training reports."""

import torch
import torch.nn.functional as F


def label_loss(
    outputs, labels: torch.Tensor, num_items_in_batch=None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Return the cross-entropy over the accounts at the last position of each prompt.

    Parameters
    ----------
    outputs : ModelOutput
        ``logits`` (rows, 1, K), or (1, rows, K) where rows are laid end to end.
    labels : Tensor of int64, (rows,)
        -1: the account has no training row, and the row no loss.
    num_items_in_batch : int or Tensor, optional
        Rows of the whole optimizer step. The losses of its parts add up to their mean.
    label_smoothing : float
        Share of the target that is spread evenly over all accounts (Szegedy et al. 2016). It
        counts in training only: the validation loss is the plain one.
    """
    logits = outputs.logits.flatten(0, 1).float()
    smoothing = label_smoothing if torch.is_grad_enabled() else 0.0
    total = F.cross_entropy(
        logits, labels, ignore_index=-1, reduction="sum", label_smoothing=smoothing
    )
    return total / (num_items_in_batch if num_items_in_batch is not None else len(labels))


def validation_accuracy(prediction) -> dict[str, float]:
    """Return the accuracy; a row whose account has no training row counts as wrong.

    Parameters
    ----------
    prediction : EvalPrediction
        ``predictions`` float32 (rows, 1, K), ``label_ids`` int64 (rows,).
    """
    logits = prediction.predictions[:, 0]
    return {"accuracy": float((logits.argmax(-1) == prediction.label_ids).mean())}
