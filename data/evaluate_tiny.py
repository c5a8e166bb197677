"""Measures a model on the held-out problems: pass@k by family and level.

    python -m data.evaluate_tiny [--k 16] [--model data/tiny_model] [--json]

Samples k replies per problem with vLLM at temperature 1 and compares the text of the last box
with the answer, character by character: stricter than a maths verifier, and enough here since
the model writes answers in one form only.
"""

import argparse
import json
import os
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any

MAX_TOKENS = 256
MAX_LENGTH = 512
BOX = "\\boxed{"
VLLM_SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What one rollout came to."""

    correct: bool
    finished: bool
    boxed: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one cell of the table; the shares lie between 0 and 1."""

    name: str
    problems: int
    passed: dict[int, float]
    """k -> pass@k."""
    tokens: float
    finished: float
    boxed: float


def read_box(text: str) -> str | None:
    """The content of the last box; None without one. Answers here hold no braces."""
    _, found, rest = text.rpartition(BOX)
    return rest.partition("}")[0] if found else None


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased chance that at least one of k samples is right (Chen et al. 2021, section 2.1)."""
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def roll_out(model: Path, prompts: list[str], k: int, seed: int) -> list[list[Any]]:
    """k completions a prompt, as vLLM returns them."""
    for name, value in VLLM_SETTINGS.items():
        os.environ.setdefault(name, value)
    # Imported here because vLLM reads the settings when it is imported, and takes long to.
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(model)
    engine = LLM(model=str(model), enforce_eager=True, max_model_len=MAX_LENGTH, seed=seed)
    requests = []
    for prompt in prompts:
        messages = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        requests.append({"prompt_token_ids": tokenizer.encode(text, add_special_tokens=False)})
    sampling = SamplingParams(n=k, temperature=1.0, max_tokens=MAX_TOKENS)
    return [output.outputs for output in engine.generate(requests, sampling)]


def judge(completion: Any, answer: str) -> Reply:
    """Compare one completion with the answer."""
    box = read_box(completion.text)
    return Reply(
        correct=box == answer,
        finished=completion.finish_reason == "stop",
        boxed=box is not None,
        tokens=len(completion.token_ids),
    )


def summarise(name: str, groups: list[list[Reply]], k: int) -> Row:
    """Average over problems, each with its k replies."""
    replies = [reply for group in groups for reply in group]
    return Row(
        name=name,
        problems=len(groups),
        passed={
            n: fmean(pass_at_k(k, sum(r.correct for r in group), n) for group in groups)
            for n in (1, 4, 16)
            if n <= k
        },
        tokens=fmean(r.tokens for r in replies),
        finished=fmean(r.finished for r in replies),
        boxed=fmean(r.boxed for r in replies),
    )


def make_table(problems: list[dict[str, Any]], groups: list[list[Reply]], k: int) -> list[Row]:
    """One row per family and level, one per level, one for all."""
    cells: dict[str, list[list[Reply]]] = {}
    levels: dict[str, list[list[Reply]]] = {}
    for problem, group in zip(problems, groups, strict=True):
        cells.setdefault(f"{problem['family']} {problem['level']}", []).append(group)
        levels.setdefault(f"level {problem['level']}", []).append(group)
    named = [*cells.items(), *sorted(levels.items()), ("all", groups)]
    return [summarise(name, members, k) for name, members in named]


def print_table(rows: list[Row]) -> None:
    """A Markdown table in per cent, ready for the README."""
    ks = list(rows[0].passed)
    heads = [f"pass@{k}" for k in ks]
    print(f"| | problems | {' | '.join(heads)} | tokens | finished | boxed |")
    print("|---" + "|--:" * (len(ks) + 4) + "|")
    for row in rows:
        passed = " | ".join(f"{100 * share:.1f}" for share in row.passed.values())
        print(
            f"| {row.name} | {row.problems} | {passed} | {row.tokens:.0f} "
            f"| {100 * row.finished:.1f} | {100 * row.boxed:.1f} |"
        )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the tiny model.")
    parser.add_argument("--k", type=int, default=16, help="replies per problem")
    parser.add_argument("--seed", type=int, default=0, help="seed of the engine")
    parser.add_argument("--model", type=Path, default=Path("data/tiny_model"), help="folder")
    parser.add_argument("--problems", type=Path, default=Path("data/quickstart.jsonl"))
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    return parser.parse_args()


def main() -> None:
    """Sample, judge, print."""
    arguments = parse_arguments()
    lines = arguments.problems.read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line) for line in lines]
    prompts = [problem["prompt"] for problem in problems]
    outputs = roll_out(arguments.model, prompts, arguments.k, arguments.seed)
    groups = [
        [judge(completion, problem["answer"]) for completion in group]
        for problem, group in zip(problems, outputs, strict=True)
    ]
    rows = make_table(problems, groups, arguments.k)
    print_table(rows)
    if arguments.json:
        print(json.dumps({"k": arguments.k, "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
