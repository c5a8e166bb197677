"""How fast and how sure near duplicates and evaluation items are found, beside other tools.

    python -m benchmarks.dedup [--texts 2000] [--items 100] [--seed 9] [--json]

Near duplicates: texts of about 5 kB, a third of them edited copies of earlier ones; the truth is
the exact Jaccard index of word 5-shingles, a duplicate is one with 0.8 or more to an earlier text.
CPU seconds of the process and its children. datasketch and datatrove take part where they are
installed (datatrove 0.10 wants `xxhash<4`, spaCy, tokenizers and orjson: an environment of its
own). Contamination: the corpus of `benchmarks._planted`, with reasoning-gym's puzzles where that is
installed; a problem that is an item but for its numbers (`renumbered`) is no false drop.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz, process, utils

from benchmarks._planted import Corpus, corpus
from factory import near
from factory.contamination.hits import Item
from factory.contamination.overlap import Index
from factory.curation.clusters import clusters, sketch
from factory.curation.distinct import Text, choose

THRESHOLD = 0.8
RATES = (0.0, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.4)
SLOW_TEXTS = 200
"""What a tool below 1 MB/s gets of the texts."""

Finder = Callable[[Sequence[str]], set[int]]


def vocabulary(rng: random.Random) -> list[str]:
    """Words of two to four syllables, and numbers."""
    parts = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    words = {"".join(rng.choices(parts, k=rng.randrange(2, 5))) for _ in range(4000)}
    return [*sorted(words), *map(str, range(400)), *"+-=()"]


def make_texts(count: int, seed: int) -> tuple[list[str], dict[int, list[int]]]:
    """Texts in an order, and for each copy the earlier texts of its family."""
    rng = random.Random(seed)
    known = vocabulary(rng)
    weights = [1 / (rank + 20) for rank in range(len(known))]
    texts: list[list[str]] = []
    family: dict[int, int] = {}
    earlier: dict[int, list[int]] = {}
    for number in range(count):
        if number > 10 and rng.random() < 0.33:
            original = family[rng.randrange(number)]
            words = list(texts[original])
            rate = rng.choice(RATES)
            for place in rng.sample(range(len(words)), round(rate * len(words))):
                words[place] = rng.choice(known)
            family[number] = original
        else:
            words = rng.choices(known, weights, k=rng.randrange(500, 1100))
            family[number] = number
        earlier[number] = [n for n in range(number) if family[n] == family[number]]
        texts.append(words)
    return [" ".join(words) for words in texts], {n: e for n, e in earlier.items() if e}


def truth(texts: Sequence[str], earlier: dict[int, list[int]]) -> tuple[set[int], set[int]]:
    """The duplicates, and the texts that are so near the threshold that either may be said."""
    runs = {}
    for number in {n for pair in earlier.items() for n in (pair[0], *pair[1])}:
        words = texts[number].split(" ")
        runs[number] = {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
    yes, close = set(), set()
    for number, others in earlier.items():
        best = max(len(runs[number] & runs[n]) / len(runs[number] | runs[n]) for n in others)
        if best >= THRESHOLD:
            yes.add(number)
        if abs(best - THRESHOLD) < 0.1:
            close.add(number)
    return yes, close


def by_digest(texts: Sequence[str]) -> set[int]:
    """Equal words."""
    seen: set[int] = set()
    found = set()
    for number, text in enumerate(texts):
        key = near.key64("\0".join(near.words(text)).encode())
        if key in seen:
            found.add(number)
        seen.add(key)
    return found


def by_clusters(texts: Sequence[str]) -> set[int]:
    """Ours, over a whole set: MinHash finds, the exact index decides, files hold what waits.

    It folds numbers, and joins chains; the texts have no more than one number in thirty words.
    """
    batches = (sketch(texts[start : start + 500]) for start in range(0, len(texts), 500))
    with tempfile.TemporaryDirectory() as scratch:
        firsts = clusters(batches, Path(scratch))
    return {number for number, first in enumerate(firsts.tolist()) if first != number}


def by_datasketch(texts: Sequence[str], verify: bool) -> set[int]:
    """The usual way with datasketch: MinHash of 256 values and its LSH."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=256)
    sets: dict[int, set[bytes]] = {}
    found = set()
    for number, text in enumerate(texts):
        words = text.lower().split()
        runs = {" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)}
        sketch = MinHash(num_perm=256, seed=1)
        sketch.update_batch(list(runs))
        matches = lsh.query(sketch)
        if verify:
            sets[number] = runs
            matches = [m for m in matches if len(runs & sets[m]) / len(runs | sets[m]) >= THRESHOLD]
        if matches:
            found.add(number)
        else:
            lsh.insert(number, sketch)
    return found


def by_datatrove(texts: Sequence[str]) -> set[int]:
    """datatrove's four stages, one task each."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import dedup
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from loguru import logger

    logger.disable("datatrove")
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    config = dedup.MinhashConfig(n_grams=5, num_buckets=32, hashes_per_bucket=8)
    with tempfile.TemporaryDirectory() as scratch:
        place = {name: f"{scratch}/{name}" for name in ("sig", "bucket", "remove", "kept", "log")}
        stages: list[list[Any]] = [
            [documents, dedup.MinhashDedupSignature(output_folder=place["sig"], config=config)],
            [dedup.MinhashDedupBuckets(place["sig"], place["bucket"], config=config)],
            [dedup.MinhashDedupCluster(place["bucket"], place["remove"], config=config)],
            [
                documents,
                dedup.MinhashDedupFilter(place["remove"]),
                JsonlWriter(place["kept"], compression=None),
            ],
        ]
        for number, stage in enumerate(stages):
            tasks = config.num_buckets if number == 1 else 1
            LocalPipelineExecutor(
                pipeline=stage, tasks=tasks, logging_dir=f"{place['log']}/{number}", workers=1
            ).run()
        kept = set()
        for path in Path(place["kept"]).glob("*.jsonl"):
            with path.open(encoding="utf-8") as lines:
                kept |= {int(json.loads(line)["id"]) for line in lines}
    return set(range(len(texts))) - kept


def cpu() -> float:
    """CPU seconds of this process and of what it has started."""
    return sum(os.times()[:4])


def installed(name: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def measure_dedup(count: int, seed: int) -> dict[str, dict[str, float] | str]:
    """MB/s, precision and recall of each way."""
    texts, earlier = make_texts(count, seed)
    ways: dict[str, tuple[str, Finder, int]] = {
        "exact digest": ("", by_digest, count),
        "ours (rensa, verified)": ("", by_clusters, count),
        "datasketch 256": ("datasketch", lambda t: by_datasketch(t, False), count),
        "datasketch 256, verified": ("datasketch", lambda t: by_datasketch(t, True), count),
        "datatrove 32x8": ("datatrove", by_datatrove, min(count, SLOW_TEXTS)),
    }
    figures: dict[str, dict[str, float] | str] = {}
    for name, (package, find, most) in ways.items():
        if package and not installed(package):
            figures[name] = f"{package} is not installed"
            continue
        given = texts[:most]
        yes, close = truth(given, {n: e for n, e in earlier.items() if n < most})
        find(given[:3])  # imports and models are no part of it
        began = cpu()
        found = find(given)
        seconds = cpu() - began
        figures[name] = {
            "texts": most,
            "mb_per_s": sum(map(len, given)) / 1e6 / seconds,
            "precision": len(found & yes) / (len(found) or 1),
            "precision_but_close": len(found & (yes | close)) / (len(found) or 1),
            "recall": len(found & yes) / (len(yes) or 1),
        }
    return figures


def puzzles(items: int, others: int, first: int = 31) -> tuple[tuple[list[str], list[str]], ...]:
    """reasoning-gym's questions by task, of two seeds; none where it is not installed."""
    if not installed("reasoning_gym"):
        return ()
    from factory.sources.reasoning_gym import UNREPEATABLE, generate, task_names

    made = []
    for name in task_names():
        if name not in UNREPEATABLE and name != "knight_swap":  # seconds a board
            with contextlib.redirect_stdout(io.StringIO()):  # some show that they are at work
                held, new = (
                    [entry["question"] for entry in generate(name, {"size": n, "seed": seed})]
                    for n, seed in ((items, first), (others, first + 9900))
                )
            made.append((held, new))
    return tuple(made)


def any_run(items: Sequence[str], size: int) -> Callable[[str], bool]:
    """The common rule: any run of so many words, lower case, that an item has too."""

    def runs(text: str) -> set[str]:
        words = re.sub(r"\s+", " ", text.lower()).strip().split(" ")
        size_here = min(size, len(words))
        return {" ".join(words[i : i + size_here]) for i in range(len(words) - size_here + 1)}

    known = set().union(*(runs(item) for item in items))
    return lambda text: not known.isdisjoint(runs(text))


def by_ratio(items: Sequence[str], cutoff: float) -> Callable[[str], bool]:
    """rapidfuzz's ratio with the nearest item."""
    known = [utils.default_process(item) for item in items]
    return lambda text: (
        process.extractOne(
            utils.default_process(text), known, scorer=fuzz.ratio, score_cutoff=cutoff
        )
        is not None
    )


def by_index(items: Sequence[str]) -> Callable[[str], bool]:
    """Ours."""
    index = Index(Item(eval_set="e", row=str(n), text=text) for n, text in enumerate(items))
    return lambda text: any(hit.method != "variant" for hit in index.hits(text))


def measure_contamination(made: Corpus) -> dict[str, dict[str, float]]:
    """Share of each kind of text that each rule calls a copy."""
    ways = {
        "any 8 words": any_run(made.items, 8),
        "any 13 words": any_run(made.items, 13),
        "fuzz.ratio 95": by_ratio(made.items, 95),
        "fuzz.ratio 75": by_ratio(made.items, 75),
        "ours": by_index(made.items),
    }
    copies = {f"copy {kind}": texts for kind, texts in made.copies.items()}
    clean = {f"clean {kind}": texts for kind, texts in made.clean.items()}
    figures = {}
    for name, caught in ways.items():
        began = cpu()
        counts = {kind: sum(map(caught, texts)) for kind, texts in (copies | clean).items()}
        seconds = cpu() - began
        shares = {
            kind: counts[kind] / len(texts) for kind, texts in (copies | clean).items() if texts
        }
        total = sum(map(len, (copies | clean).values()))
        letters = sum(len(text) for texts in (copies | clean).values() for text in texts)
        dropped = [kind for kind in clean if kind != "clean renumbered"]
        figures[name] = {
            "recall": sum(counts[k] for k in copies) / sum(len(copies[k]) for k in copies),
            "false drops": sum(counts[k] for k in dropped) / sum(len(clean[k]) for k in dropped),
            **shares,
            "problems_per_s": total / seconds,
            "mb_per_s": letters / 1e6 / seconds,
        }
    return figures


def measure_choice(texts: Sequence[str]) -> dict[str, float]:
    """MB/s of the choice among the samples of one problem, by how many there are."""
    speeds = {}
    for count in (16, 64, 256):
        given = [Text(n, text, len(text)) for n, text in enumerate(texts[:count])]
        began = cpu()
        choose(given, 4)
        size = sum(len(text.text) for text in given) / 1e6
        speeds[f"4 of {count}, MB/s"] = size / (cpu() - began)
    return speeds


def show(title: str, table: dict[str, Any]) -> None:
    """Prints rows of named figures."""
    print(f"\n{title}")
    for name, row in table.items():
        if isinstance(row, str):
            print(f"  {name:26} {row}")
            continue
        cells = (f"{key}: {value:.4g}" for key, value in row.items())
        print(f"  {name:26} {'  '.join(cells)}")


def main() -> None:
    """Measures all three and prints them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--texts", type=int, default=2000)
    arguments.add_argument("--items", type=int, default=100, help="items per family")
    arguments.add_argument("--seed", type=int, default=9)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    made = corpus(given.seed, given.items, puzzles(6, 12))
    texts, _ = make_texts(256, given.seed + 1)
    figures = {
        "near duplicates": measure_dedup(given.texts, given.seed),
        "choice": {"ours": measure_choice(texts)},
        "contamination": measure_contamination(made),
    }
    sizes = {"items": {"": float(len(made.items))}}
    for title, table in {**figures, "corpus": sizes}.items():
        show(title, table)
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
