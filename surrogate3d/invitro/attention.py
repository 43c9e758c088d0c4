"""Sequential attention over groups of features: which scale is looked at, step by step.

The attentive steps are those of TabNet (Arik and Pfister, arXiv 1908.07442): each step chooses by a sparse mask what
it looks at, and what was used before counts less in later steps. Here all features of a group share one value of the
mask, so that groups compete, not single features. What a group says is a linear embedding of its features, made once;
a step sees the sum of the embeddings under its mask. A group of which nothing is known gets the mask 0.

There is no batch normalisation: an answer does not depend on what else is asked, and tables of some hundred
experiments are too small for it. As embeddings are made once, the first gated layer of the paper's shared block is
that embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

_ABSENT = -1e4  # of a logit: far below all others, yet finite, so that gradients stay finite


def sparsemax(logits: Tensor, dim: int = -1) -> Tensor:
    """Euclidean projection onto the probability simplex; unlike softmax it gives exact zeros.

    Martins and Astudillo 2016, arXiv 1602.02068, algorithm 1.

    Args:
        logits: any shape.
        dim: axis along which the result sums to one.

    Returns:
        The same shape.
    """
    ordered = torch.sort(logits, dim=dim, descending=True).values.movedim(dim, -1)
    rank = torch.arange(1, ordered.shape[-1] + 1, dtype=logits.dtype, device=logits.device)
    excess = ordered.cumsum(-1) - 1
    support = (rank * ordered > excess).sum(-1, keepdim=True)
    threshold = excess.gather(-1, support - 1) / support
    return torch.clamp_min(logits - threshold.movedim(-1, dim), 0.0)


class Attended(NamedTuple):
    """What the steps made of some rows.

    Attributes:
        state: (n, width) sum of what the steps decided.
        masks: (n, step, group) of sum 1 over the groups.
        importance: (n, group) masks averaged with what each step contributed (equation of section 3.6 of the paper);
            of sum 1.
    """

    state: Tensor
    masks: Tensor
    importance: Tensor


class AttentiveSteps(nn.Module):
    """The steps.

    Args:
        group_of: number of the group of each feature, ascending from 0.
        width: channels of an embedding and of the state.
        n_steps: how many times groups are chosen.
        gamma: relaxation; at 1 a group is used in one step only, above it may be used again.
    """

    columns: Tensor

    def __init__(self, group_of: Sequence[int], width: int, n_steps: int, gamma: float) -> None:
        super().__init__()
        self.n_groups, self.gamma = max(group_of) + 1, gamma
        members = [[n for n, group in enumerate(group_of) if group == g] for g in range(self.n_groups)]
        longest, nothing = max(len(each) for each in members), len(group_of)
        padded = [each + [nothing] * (longest - len(each)) for each in members]
        self.register_buffer("columns", torch.tensor(padded), persistent=False)
        sizes = torch.tensor([len(each) for each in members], dtype=torch.float32)
        start = torch.randn(self.n_groups, longest, 2 * width) / sizes.sqrt()[:, None, None]
        self.embedding = nn.Parameter(start)
        self.bias = nn.Parameter(torch.zeros(self.n_groups, 2 * width))
        self.choose = nn.ModuleList(nn.Linear(width, self.n_groups) for _ in range(n_steps))
        self.gates = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(n_steps))

    def forward(self, x: Tensor, present: Tensor) -> Attended:
        """Look at some rows.

        Args:
            x: (n, feature) of the order of one; 0 where not known.
            present: (n, group) whether anything of a group is known; where nothing is, the masks are 0.
        """
        padded = nn.functional.pad(x, (0, 1))[:, self.columns]  # (n, group, longest)
        said = torch.einsum("ngf,gfw->ngw", padded, self.embedding) + self.bias
        said = said * present[..., None]
        prior = torch.ones_like(present, dtype=x.dtype)
        looking = _gated(said.sum(1) / present.sum(1, keepdim=True).clamp_min(1))
        state, masks, weights = torch.zeros_like(looking), [], []
        for choose, gate in zip(self.choose, self.gates, strict=True):
            mask = sparsemax(torch.where(present, prior * choose(looking), _ABSENT)) * present
            prior = prior * (self.gamma - mask)
            first = _gated(torch.einsum("ng,ngw->nw", mask, said))
            looking = (first + _gated(gate(first))) * 0.5**0.5
            decided = torch.relu(looking)
            state = state + decided
            masks.append(mask)
            weights.append(decided.sum(-1))
        return Attended(state, torch.stack(masks, 1), _weighted(torch.stack(masks, 1), torch.stack(weights, 1)))


def _gated(both: Tensor) -> Tensor:
    """Gated linear unit: one half of the channels opens the other."""
    return nn.functional.glu(both, dim=-1)


def _weighted(masks: Tensor, weights: Tensor) -> Tensor:
    """Masks averaged over the steps; steps that decided nothing at all count alike."""
    share = weights + 1e-6
    return ((share / share.sum(-1, keepdim=True))[..., None] * masks).sum(1)


def entropy(masks: Tensor) -> Tensor:
    """Entropy of masks (..., group), of which the sparsity loss of section 3.4 of the paper is the mean; 0 where one
    group rules.
    """
    return -(masks * torch.log(masks + 1e-8)).sum(-1)
