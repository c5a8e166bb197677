"""Tokens per second of a whole run beside the bare engine on the same prompts, in one sitting.

    python -m benchmarks.throughput [--repeats 3] [--problems 120] [--n 16] [--json]

Bare: `vllm.LLM.generate`, all prompts at once, with vLLM's own process layout, the quickstart's
engine settings, sampling and seeds; loading is not counted. Run: `factory run` with the `fixed`
policy (no rollout is aborted), from the first replica's readiness to the last verdict, every
commit to the ledger included. The two take turns, so that a noisy machine troubles both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RECIPE = "pipelines/quickstart.yaml"

BARE = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
from factory import feed, recipe
from factory.engines import Request
from factory.types import Problem, RolloutKey
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    n, changes = int(sys.argv[1]), sys.argv[2:]
    given = recipe.load(Path("pipelines/quickstart.yaml"), changes)
    problems = [p for p in feed.problems(given) if isinstance(p, Problem)]
    o = given.engine.options
    llm = LLM(o["model"], enforce_eager=o["enforce_eager"], max_num_seqs=o["max_num_seqs"],
              enable_chunked_prefill=False, disable_log_stats=True)
    tokenizer = llm.get_tokenizer()
    prompts, params = [], []
    for problem in problems:
        messages = given.prompt.render(problem)
        ids = tokenizer.apply_chat_template(
            list(messages), tokenize=True, add_generation_prompt=True, return_dict=False)
        for index in range(n):
            key = RolloutKey(problem.id, index)
            seed = Request(key=key, messages=messages, sampling=given.sampling).seed
            prompts.append({"prompt_token_ids": ids})
            params.append(SamplingParams(
                temperature=given.sampling.temperature, max_tokens=given.sampling.max_tokens,
                seed=seed))
    started = time.monotonic()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    seconds = time.monotonic() - started
    tokens = sum(len(o.outputs[0].token_ids) for o in outputs)
    print("RESULT " + json.dumps({"tokens": tokens, "seconds": seconds}))
"""


def bare(n: int, changes: list[str]) -> tuple[int, float]:
    """Tokens and seconds of the bare engine."""
    from factory.quiet import QUIET

    env = {**os.environ, **QUIET, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as script:
        script.write(BARE)
        script.flush()
        done = subprocess.run(
            [sys.executable, script.name, str(n), *changes],
            check=True, capture_output=True, text=True, env={**env, "PYTHONPATH": "."},
        )  # fmt: skip
    (line,) = [s for s in done.stdout.splitlines() if s.startswith("RESULT ")]
    result = json.loads(line.removeprefix("RESULT "))
    return result["tokens"], result["seconds"]


def whole_run(changes: list[str]) -> tuple[int, float]:
    """Tokens and seconds of a run, as it says itself."""
    from factory import recipe, run

    with tempfile.TemporaryDirectory() as folder:
        given = recipe.load(Path(RECIPE), changes)
        result = run.run(given, Path(folder) / "run", lambda _: None)
        return result.counts.tokens, result.generating_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    limit = f"limit={given.problems}"
    changes = [limit, f"policy={{name: fixed, n: {given.n}}}"]
    rows = []
    for repeat in range(given.repeats):
        bare_tokens, bare_s = bare(given.n, [limit])
        run_tokens, run_s = whole_run(changes)
        rows.append((bare_tokens / bare_s, run_tokens / run_s))
        print(
            f"{repeat + 1}: bare {bare_tokens:,} tokens in {bare_s:.1f} s = {rows[-1][0]:,.0f}/s; "
            f"run {run_tokens:,} in {run_s:.1f} s = {rows[-1][1]:,.0f}/s; "
            f"ratio {rows[-1][1] / rows[-1][0]:.3f}",
            flush=True,
        )
    figures = {
        "bare_tokens_per_s": round(statistics.median(b for b, _ in rows)),
        "run_tokens_per_s": round(statistics.median(r for _, r in rows)),
        "ratio_median": round(statistics.median(r / b for b, r in rows), 3),
        "ratios": [round(r / b, 3) for b, r in rows],
    }
    print(f"median ratio {figures['ratio_median']}")
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
