"""How full a run keeps its engine, beside the bare engine on the same prompts, in one sitting.

    python -m benchmarks.saturation [--repeats 5] [--problems 120] [--n 16] [--shared] [--json]

Bare: `vllm.LLM.generate`, all prompts at once, with the quickstart's engine settings, sampling and
seeds, and lengths drawn from the seeds (`benchmarks.clocked`). Run: `factory run` on Ray with the
`fixed` policy (no rollout is aborted), with verification, ledger and shards. Both note when each
rollout ended, on one clock:

    steady    tokens per second between the end of the first 15 % and of the first 70 % of rollouts
    whole     tokens per second from the moment that the engine is ready to the last rollout's end
              (`first_to_last`)

On a GPU node the engine has the GPU and the factory has the host's CPUs. Here both compute on the
same cores, so by default the engine has one core to itself, in both runs alike, and everything else
has another one; with `--shared` everybody shares all cores, and the ratio then also holds what
verification takes from the engine. The two take turns, so that a noisy machine troubles both alike.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import psutil

from factory.quiet import QUIET

RECIPE = "pipelines/quickstart.yaml"
STEADY = (0.15, 0.70)

BARE = """
import json, sys, time
from pathlib import Path
from benchmarks.clocked import length
from factory import feed, recipe
from factory.engines import Request
from factory.types import Problem, RolloutKey
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    clock, n, changes = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    given = recipe.load(Path("pipelines/quickstart.yaml"), changes)
    problems = [p for p in feed.problems(given) if isinstance(p, Problem)]
    o = given.engine.options
    llm = LLM(o["model"], enforce_eager=o["enforce_eager"], max_num_seqs=o["max_num_seqs"],
              enable_chunked_prefill=False, disable_log_stats=True, **o["engine_args"])
    tokenizer = llm.get_tokenizer()
    prompts, params, ends = [], [], []
    for problem in problems:
        messages = given.prompt.render(problem)
        ids = tokenizer.apply_chat_template(
            list(messages), tokenize=True, add_generation_prompt=True, return_dict=False)
        for index in range(n):
            key = RolloutKey(problem.id, index)
            seed = Request(key=key, messages=messages, sampling=given.sampling).seed
            prompts.append({"prompt_token_ids": ids})
            params.append(SamplingParams(
                temperature=given.sampling.temperature, max_tokens=length(seed),
                seed=seed, ignore_eos=True))
    step = llm.llm_engine.step
    def clocked():
        done, now = step(), time.monotonic()
        ends.extend((now, len(r.outputs[0].token_ids)) for r in done if r.finished)
        return done
    llm.llm_engine.step = clocked
    ends.append((time.monotonic(), 0))
    llm.generate(prompts, params, use_tqdm=False)
    clock.write_text("".join(json.dumps(end) + "\\n" for end in ends))
"""


class Cores(NamedTuple):
    """Who computes where, where they do not share."""

    engine: int
    rest: int


class Ends(NamedTuple):
    """When rollouts ended, in order: seconds and tokens; the first entry is the start."""

    seconds: list[float]
    tokens: list[int]

    @classmethod
    def read(cls, clock: Path, ready: float | None = None) -> Ends:
        rows = sorted(json.loads(line) for line in clock.read_text("utf-8").splitlines())
        rows = [*([] if ready is None else [[ready, 0]]), *rows]
        return cls([t for t, _ in rows], [n for _, n in rows])

    def rate(self, low: float, high: float) -> float:
        """Tokens per second between two shares of the rollouts."""
        first, last = (round(share * (len(self.tokens) - 1)) for share in (low, high))
        return sum(self.tokens[first + 1 : last + 1]) / (self.seconds[last] - self.seconds[first])


class Costs:
    """CPU seconds of a run's processes by what they do, while rollouts end."""

    ROLES: ClassVar[dict[str, str]] = {
        "EngineCore": "engine",
        "_ReplicaActor": "replica: messages of the engine, words, requests",
        "_JudgeActor": "judge",
        "factory.sandbox": "judge: its worker",
        "factory run": "driver: foreman, ledger, feed, display",
    }
    """A part of the command line, and what such a process is; every other one is Ray's."""

    def __init__(self, clock: Path) -> None:
        self._clock = clock
        self._first: tuple[int, dict[int, tuple[str, float]]] | None = None
        self._last = self._first

    def look(self, root: int) -> None:
        """Note how much the processes below `root` have used, once rollouts are ending."""
        ended = self._clock.read_bytes().count(b"\n") if self._clock.exists() else 0
        if not ended or (self._last and ended == self._last[0]):
            return  # nothing has ended yet, or everything has
        used = dict(self._last[1]) if self._last else {}  # with those that have gone by now
        for process in psutil.Process(root).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words, spent = " ".join(process.cmdline()), process.cpu_times()
                role = next((r for part, r in self.ROLES.items() if part in words), "Ray itself")
                used[process.pid] = (role, spent.user + spent.system)
        self._first = self._first or (ended, used)
        self._last = (ended, used)

    def per_rollout(self) -> Counter[str]:
        """CPU milliseconds by role."""
        spent: Counter[str] = Counter()
        if self._first and self._last and self._last[0] > self._first[0]:
            for pid, (role, seconds) in self._last[1].items():
                before = self._first[1].get(pid, ("", 0.0))[1]
                spent[role] += 1000 * (seconds - before) / (self._last[0] - self._first[0])
        return spent


def measure(words: Sequence[str], core: int | None, costs: Costs | None = None) -> None:
    """Run Python on `words`, on one core or on all; give up with its words if it fails."""
    env = {**os.environ, **QUIET, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}
    # vLLM binds no threads of a worker that lives in the engine's own process: taskset does.
    env |= {"PYTHONPATH": ".", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with subprocess.Popen(
            [*pinned, sys.executable, *words], stdout=said, stderr=subprocess.STDOUT, env=env
        ) as process:
            while process.poll() is None:
                time.sleep(1)
                if costs:
                    costs.look(os.getpid())
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{words[:2]} failed:\n{said.read()[-3000:]}")


def bare(folder: Path, n: int, changes: list[str], cores: Cores | None) -> Ends:
    script = folder / "bare.py"
    script.write_text(BARE, encoding="utf-8")
    measure([str(script), str(folder / "bare.jsonl"), str(n), *changes], cores and cores.engine)
    return Ends.read(folder / "bare.jsonl")


def whole_run(folder: Path, changes: list[str], cores: Cores | None) -> tuple[Ends, Counter[str]]:
    clock = folder / "run.jsonl"
    costs = Costs(clock)
    changes = [*changes, "engine.name=benchmarks.clocked", f"engine.clock={clock}"]
    if cores:
        changes.append(f"engine.core={cores.engine}")
    sets = [word for change in changes for word in ("--set", change)]
    words = ["-m", "factory", "run", RECIPE, "--out", str(folder / "run"), *sets]
    measure(words, cores and cores.rest, costs)
    ends = Ends.read(clock)
    # The engine is ready when the first request goes out: no rollout takes less than this.
    progress = json.loads((folder / "run" / "progress.json").read_text("utf-8"))
    ready = ends.seconds[-1] - progress["generating_s"]
    return Ends.read(clock, ready), costs.per_rollout()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    limit = f"limit={given.problems}"
    changes = [limit, "sampling.max_tokens=440", f"policy={{name: fixed, n: {given.n}}}"]
    cores = None if given.shared else Cores(*sorted(os.sched_getaffinity(0))[:2])
    steady, whole, costs = [], [], []
    for repeat in range(given.repeats):
        with tempfile.TemporaryDirectory() as folder:
            a = bare(Path(folder), given.n, changes[:2], cores)
            b, cost = whole_run(Path(folder), changes, cores)
        assert len(a.tokens) == len(b.tokens), "the same rollouts"
        costs.append(cost)
        steady.append((a.rate(*STEADY), b.rate(*STEADY)))
        whole.append((a.rate(0, 1), b.rate(0, 1)))
        print(
            f"{repeat + 1}: tokens {sum(a.tokens):,} and {sum(b.tokens):,}; steady "
            f"{steady[-1][0]:,.0f} and {steady[-1][1]:,.0f} tokens/s; whole {whole[-1][0]:,.0f} "
            f"and {whole[-1][1]:,.0f}",
            flush=True,
        )
    shares = [[round(b / a, 3) for a, b in pairs] for pairs in (steady, whole)]
    figures: dict[str, Any] = {
        "steady": statistics.median(shares[0]),
        "first_to_last": statistics.median(shares[1]),
        "steady_each": shares[0],
        "first_to_last_each": shares[1],
        "bare_tokens_per_s": round(statistics.median(a for a, _ in steady)),
        "run_tokens_per_s": round(statistics.median(b for _, b in steady)),
        "cpu_ms_per_rollout": {
            role: round(statistics.median(cost[role] for cost in costs), 2)
            for role in (*Costs.ROLES.values(), "Ray itself")
        },
        "tokens_per_rollout": round(sum(b.tokens) / (len(b.tokens) - 1)),
        "layout": "shared cores" if given.shared else "the engine on a core of its own",
    }
    print(f"median shares: steady {figures['steady']}, first to last {figures['first_to_last']}")
    for role, spent in figures["cpu_ms_per_rollout"].items():
        print(f"{spent:8.2f} ms of CPU a rollout: {role}")
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
