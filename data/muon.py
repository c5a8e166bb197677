"""Muon: momentum whose matrix updates are made orthogonal before they are applied.

Every direction of a weight matrix then learns at the same speed, which reaches a given loss in
far fewer steps than AdamW does on this model (Jordan et al. 2024, "Muon: an optimizer for hidden
layers in neural networks"). Matrices of one shape are orthogonalised in one batch, since a small
product costs mostly its call.
"""

from collections import defaultdict

import torch
from torch import Tensor

# Coefficients of the quintic iteration, from the reference: chosen to push small singular values
# up fast; the result has singular values near one, not exactly one.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Replace each matrix of a batch by one with the same directions and equal strengths."""
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(torch.bfloat16)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonal updates, for two-dimensional weights only."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                velocity = self.state[parameter].setdefault("v", torch.zeros_like(parameter))
                velocity.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(velocity, group["momentum"])
                by_shape[parameter.shape].append((parameter, ahead))
            for shape, entries in by_shape.items():
                updates = orthogonalise(torch.stack([ahead for _, ahead in entries]))
                # Scaled so that one entry moves by about 0.2 lr, as AdamW would move it.
                scale = 0.2 * max(shape) ** 0.5
                for (parameter, _), update in zip(entries, updates, strict=True):
                    parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * scale)
