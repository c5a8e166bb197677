"""A lean Llama for training on one CPU thread, saved in the layout that Hugging Face reads.

The arithmetic is that of `LlamaForCausalLM`; what differs is how it is laid out for speed:
query, key and value are one matrix, so are gate and up, attention is two plain matrix products
(at these sizes the fused CPU kernel is slower), and logits are computed only where there is a
label. `save` takes the matrices apart again.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of the model; the defaults make 0.92 M parameters."""

    vocabulary: int = 512
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    intermediate: int = 384
    positions: int = 512
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5


class Block(nn.Module):
    """One layer: attention and a gated feed-forward, each behind a norm and added back."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.epsilon = shape.norm_epsilon
        self.attention_norm = nn.Parameter(torch.ones(shape.hidden))
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden, bias=False)
        self.out = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.feed_norm = nn.Parameter(torch.ones(shape.hidden))
        self.gate_up = nn.Linear(shape.hidden, 2 * shape.intermediate, bias=False)
        self.down = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, length, hidden) to the same shape."""
        batch, length, hidden = x.shape
        normed = F.rms_norm(x, (hidden,), self.attention_norm, self.epsilon)
        qkv = self.qkv(normed).view(batch, length, 3, self.heads, hidden // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Scaling the rotation is cheaper than scaling the much larger matrix of scores.
        scale = (hidden // self.heads) ** -0.5
        q, k = rotate(q, cos * scale, sin * scale), rotate(k, cos, sin)
        scores = q @ k.transpose(-1, -2) + mask
        mixed = scores.softmax(-1).to(v.dtype) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))
        normed = F.rms_norm(x, (hidden,), self.feed_norm, self.epsilon)
        gate, up = self.gate_up(normed).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding; the first half of a head is paired with the second."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class TinyLlama(nn.Module):
    """The whole model; the embedding is also the output layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            if name.endswith(("out.weight", "down.weight")):
                # Starting each layer as the identity lets a high learning rate begin safely.
                nn.init.zeros_(parameter)
        self.register_buffer("cos", torch.empty(0), persistent=False)
        self.register_buffer("sin", torch.empty(0), persistent=False)
        self.cos, self.sin = rope_tables(shape)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits at the given positions of the flattened ids, one row each."""
        length = ids.shape[1]
        x = self.embedding(ids)
        cos, sin = self.cos[:length].to(torch.bfloat16), self.sin[:length].to(torch.bfloat16)
        # Padding stands at the end, so the causal mask alone keeps it out of every real position.
        mask = torch.full((length, length), float("-inf"), dtype=torch.bfloat16).triu(1)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        x = F.rms_norm(
            x.flatten(0, 1)[positions], (self.shape.hidden,), self.norm, self.shape.norm_epsilon
        )
        return x @ self.embedding.weight.T

    def save(self, folder: Path, *, eos: int, pad: int) -> None:
        """Write config.json, generation_config.json and model.safetensors (bfloat16)."""
        weights = {
            name: tensor.detach().to(torch.bfloat16).contiguous().clone()
            for name, tensor in self.named_weights().items()
        }
        path = folder / "model.safetensors"
        save_file(weights, path, metadata={"format": "pt"})
        # safetensors writes for the owner only; a model in a repository is for everyone.
        path.chmod(0o644)
        write_json(folder / "config.json", config(self.shape, eos=eos, pad=pad))
        write_json(
            folder / "generation_config.json",
            {"do_sample": True, "temperature": 1.0, "eos_token_id": eos, "pad_token_id": pad},
        )

    def named_weights(self) -> dict[str, Tensor]:
        """The parameters under the names and in the pieces of `LlamaForCausalLM`."""
        weights = {
            "model.embed_tokens.weight": self.embedding.weight,
            "model.norm.weight": self.norm,
        }
        for i, block in enumerate(self.blocks):
            q, k, v = block.qkv.weight.chunk(3)
            gate, up = block.gate_up.weight.chunk(2)
            pieces = {
                "input_layernorm": block.attention_norm,
                "self_attn.q_proj": q,
                "self_attn.k_proj": k,
                "self_attn.v_proj": v,
                "self_attn.o_proj": block.out.weight,
                "post_attention_layernorm": block.feed_norm,
                "mlp.gate_proj": gate,
                "mlp.up_proj": up,
                "mlp.down_proj": block.down.weight,
            }
            for name, tensor in pieces.items():
                weights[f"model.layers.{i}.{name}.weight"] = tensor
        return weights


def rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (positions, head size), each frequency in both halves."""
    size = shape.hidden // shape.heads
    frequencies = shape.rope_theta ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(shape.positions)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def config(shape: Shape, *, eos: int, pad: int) -> dict[str, object]:
    """The config.json of a `LlamaForCausalLM` of this shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.hidden // shape.heads,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rms_norm_eps": shape.norm_epsilon,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": eos,
        "pad_token_id": pad,
    }


def write_json(path: Path, content: dict[str, object]) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
