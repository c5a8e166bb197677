"""What the columns of the published dataset mean, for the card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.shards import Config

MEANINGS = {
    "uuid": "names the rollout: the same in every config and every version of the dataset",
    "problem_id": "names the problem: derived from what the model was asked",
    "cluster": "problems that nearly repeat each other, numbers aside, share it: the id of the "
    "first of them. Whoever splits the rows splits by it, or tests on what was trained on",
    "source": "where the problem came from",
    "source_id": "its row or id there",
    "domain": "math, code, ...: as the source has it",
    "problem": "the question as the source has it, before any template",
    "answer": "the reference answer; null where the verifier needs none",
    "messages": "the conversation, from what the model was asked to its reply",
    "prompt": "what the model was asked; text in `stepwise`, messages elsewhere",
    "completion": "the reply, as the messages that follow the prompt",
    "completions": "the steps, in order",
    "label": "true: found right; false: found wrong",
    "labels": "for every step, whether some rollout that shares the steps so far came out right",
    "values": "for every step, the share of those rollouts that came out right",
    "rollouts": "for every step, how many rollouts share the steps so far",
    "chosen": "an accepted reply",
    "rejected": "a wrong one to the same prompt",
    "chosen_uuid": "`uuid` of the accepted rollout",
    "rejected_uuid": "`uuid` of the wrong rollout",
    "chosen_tokens": "tokens of the accepted rollout",
    "rejected_tokens": "tokens of the wrong rollout",
    "closeness": "how alike the two are: mean of shared beginning and equal length, in [0, 1]",
    "model": "who wrote it",
    "prompt_template": "how the question was put; `{prompt}` is the question",
    "sampling": "sampling parameters, JSON",
    "finish_reason": "stop: the model was done; length: it ran out of tokens",
    "prompt_tokens": "tokens of the prompt",
    "completion_tokens": "tokens generated, reasoning included",
    "correct": "whether the verifier found it right; null where it could not tell",
    "score": "the verifier's reward in [0, 1]; null where it could not tell",
    "verifier": "who judged it",
    "verifier_version": "which version of the verifier",
    "generation_index": "number of the rollout among those of its problem, from 0",
    "num_generations": "rollouts of the problem that came to an end",
    "pass_rate": "right ones among the rollouts of the problem that could be judged",
    "outcome": "correct, incorrect, unparsable; or unsure, timeout, error: could not tell",
    "extracted": "the answer as the verifier read it",
    "verdict_detail": "why, in a line",
    "sandbox": "where the model's code ran, if any was run",
    "withheld": "`secrets` or `personal`: the reply holds such data and is not shown, its messages "
    "end in an empty one; null: it is shown",
    "started_over": "how often it was interrupted and began from nothing again, as its engine "
    "cannot continue: where not 0, short rollouts are more frequent than the model writes them",
    "data_source": "where the problem came from, under verl's name",
    "ability": "the domain, under verl's name",
    "reward_model": "verl's: `style` is rule, `ground_truth` the reference answer",
    "extra_info": "what the verifier reads, for `factory.reward`; JSON in `spec` and options",
    "license": "licence of the row",
    "run_id": "the run that made it",
    "metadata": "whatever else the source's row carried, JSON",
}


def described(configs: Sequence[Config]) -> Iterator[tuple[str, str, str, str]]:
    """Every column once: name, type, the configs that have it, meaning."""
    names = dict.fromkeys(name for config in configs for name in config.schema.names)
    for name in names:
        having = [c for c in configs if name in c.schema.names]
        kinds = dict.fromkeys(kind(c.schema.field(name).type) for c in having)
        where = "every" if len(having) == len(configs) else ", ".join(c.name for c in having)
        yield f"`{name}`", " / ".join(kinds), where, MEANINGS[name]


def kind(of: pa.DataType) -> str:
    """A type in short."""
    if pa.types.is_list(of):
        return f"list of {kind(of.value_type)}"
    if pa.types.is_struct(of):
        return "{" + ", ".join(field.name for field in of) + "}"
    return "float32" if pa.types.is_float32(of) else str(of)  # Arrow says float
