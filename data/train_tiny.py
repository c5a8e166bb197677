"""Trains the tiny default model from nothing on one CPU thread.

    python -m data.train_tiny [--seed 0] [--out data/tiny_model] [--steps 10000]

One epoch over freshly drawn problems, loss on the assistant's turn only. Nothing is downloaded.
The same seed gives the same data; the weights may differ in the last bits between machines.
Setting MALLOC_MMAP_THRESHOLD_=4000000000 and MALLOC_TRIM_THRESHOLD_=8000000000 in the
environment before starting makes it markedly faster, since the allocator then keeps its memory.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from data.conversations import training_conversations
from data.muon import Muon
from data.tiny_llama import Shape, TinyLlama
from data.tokenizer import END, render, save_tokenizer, train_tokenizer

BATCH = 24
TOKENIZER_TEXTS = 20_000
MUON_RATE = 0.003
ADAM_RATE = 0.003
WARM_UP = 0.03
DECAY = 0.6
WIDTHS, ROWS = 16, 256
"""Batches are as wide, and have as many labels, as a multiple of these."""
POOL = 100
"""Batches whose examples are sorted by length together, to save padding."""


@dataclass(frozen=True, slots=True)
class Example:
    """A tokenized conversation."""

    ids: list[int]
    """Prompt and reply."""
    prompt_length: int
    """Tokens at the start that carry no loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on; sizes are rounded up, see `collate`."""

    ids: Tensor
    """(examples, width), padded on the right."""
    positions: Tensor
    """Where in the flattened ids a loss is taken."""
    targets: Tensor
    """The token that follows each position; -1 where only a size was rounded up."""


def tokenize(tokenizer: PreTrainedTokenizerFast, seed: int, count: int) -> Iterator[Example]:
    """`count` training examples in the order they are drawn."""
    backend = tokenizer.backend_tokenizer
    conversations = training_conversations(seed, count)
    while chunk := list(islice(conversations, 2000)):
        prompts = backend.encode_batch([render(c.messages) for c in chunk])
        replies = backend.encode_batch([c.reply + END for c in chunk])
        for prompt, reply in zip(prompts, replies, strict=True):
            yield Example(prompt.ids + reply.ids, len(prompt.ids))


def batches(examples: Iterator[Example], pad: int, seed: int) -> Iterator[Batch]:
    """Batches of `BATCH` examples of about one length."""
    rng = random.Random(seed)
    while pool := list(islice(examples, BATCH * POOL)):
        pool.sort(key=lambda example: len(example.ids))
        starts = list(range(0, len(pool) - BATCH + 1, BATCH))
        rng.shuffle(starts)
        for start in starts:
            yield collate(pool[start : start + BATCH], pad)


def collate(examples: list[Example], pad: int) -> Batch:
    """Pad to a few sizes only: the CPU's matrix kernels are compiled anew for every shape."""
    width = round_up(max(len(example.ids) for example in examples) - 1, WIDTHS)
    ids = torch.full((len(examples), width), pad)
    labels = torch.full((len(examples), width), -1)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example.ids)
        ids[row, : len(tokens) - 1] = tokens[:-1]
        labels[row, example.prompt_length - 1 : len(tokens) - 1] = tokens[example.prompt_length :]
    labels = labels.flatten()
    (positions,) = torch.nonzero(labels >= 0, as_tuple=True)
    missing = round_up(len(positions), ROWS) - len(positions)
    return Batch(
        ids=ids,
        positions=F.pad(positions, (0, missing)),
        targets=F.pad(labels[positions], (0, missing), value=-1),
    )


def round_up(size: int, multiple: int) -> int:
    """The next multiple that is not smaller."""
    return -(-size // multiple) * multiple


def learning_rate(step: int, steps: int) -> float:
    """Share of the full rate: linear warm-up, flat, linear decay to zero."""
    return min(1.0, (step + 1) / (WARM_UP * steps), (steps - step) / (DECAY * steps))


def make_optimizers(model: TinyLlama) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embedding and norms."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    inner = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inner]
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    optimizers = [Muon(matrices, lr=MUON_RATE), adam]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return optimizers


def train(model: TinyLlama, data: Iterator[Batch], steps: int) -> None:
    """Run the loop, printing the loss every 50 steps."""
    optimizers, started, tokens, recent = make_optimizers(model), time.monotonic(), 0, []
    for step, batch in enumerate(islice(data, steps)):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(batch.ids, batch.positions)
        loss = F.cross_entropy(logits.float(), batch.targets, ignore_index=-1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * learning_rate(step, steps)
            optimizer.step()
            optimizer.zero_grad()
        tokens += batch.ids.numel()
        recent.append(loss.item())
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            mean = sum(recent) / len(recent)
            print(f"step {step + 1} loss {mean:.4f} tokens {tokens} {seconds:.0f}s", flush=True)
            recent = []


def save(model: TinyLlama, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write next to the target and move, so that a reader never sees half a model."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "model"
        save_tokenizer(tokenizer, folder)
        model.save(folder, eos=tokenizer.eos_token_id, pad=tokenizer.pad_token_id)
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the tiny default model.")
    parser.add_argument("--seed", type=int, default=0, help="decides data and initial weights")
    parser.add_argument("--out", type=Path, default=Path("data/tiny_model"), help="model folder")
    parser.add_argument("--steps", type=int, default=10_000, help=f"steps of {BATCH} conversations")
    return parser.parse_args()


def main() -> None:
    """Tokenizer, model, loop, files."""
    arguments = parse_arguments()
    # One thread: at this size more threads spend their time waiting for one another.
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    texts = (
        render(c.messages) + c.reply
        for c in training_conversations(arguments.seed, TOKENIZER_TEXTS)
    )
    tokenizer = train_tokenizer(texts)
    model = TinyLlama(Shape(vocabulary=len(tokenizer)))
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    examples = tokenize(tokenizer, arguments.seed, arguments.steps * BATCH)
    train(model, batches(examples, tokenizer.pad_token_id, arguments.seed), arguments.steps)
    save(model, tokenizer, arguments.out)


if __name__ == "__main__":
    main()
