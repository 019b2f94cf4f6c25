"""Cross-entropy as a sum over tokens, divided by the tokens of the whole optimiser step.

One definition for every architecture: however the examples of a step are cut into micro batches, its gradient is the
same. (transformers' own loss is a mean per micro batch for models that take no loss arguments, StarCoder among them.)
"""

from codetune.sequences.tokens import IGNORE


def token_loss(logits, labels):
    """Sum of the negative log-likelihoods, float32 scalar. logits: (B, T, vocabulary); labels: (B, T), not shifted."""
    import torch.nn.functional as F

    targets = labels[:, 1:]
    trained = targets != IGNORE
    # Only the positions that are trained are raised to float32: (tokens, vocabulary)
    return F.cross_entropy(logits[:, :-1][trained].float(), targets[trained], reduction="sum")


def step_loss(outputs, labels, num_items_in_batch=None):
    """Trainer's compute_loss_func: num_items_in_batch is the number of trained tokens in the whole step."""
    if num_items_in_batch is None:
        num_items_in_batch = (labels[:, 1:] != IGNORE).sum()
    return token_loss(outputs.logits, labels) / num_items_in_batch
