"""Traces to rows: the forms in which one dataset is published, each for another kind of training.

problems -> rollouts -> verdicts -> traces -> shards -> hub

    default             an accepted trace            supervised fine-tuning
    all                 a rollout with its verdict   analysis
    preference          right beside wrong           DPO                  pairs.py
    unpaired            right or wrong               KTO                  pairs.py
    rl                  a problem to try             GRPO, verl           tasks.py
    stepwise            steps with their worth       process rewards      steps.py
    reasoning_content   default, reasoning apart     chat templates       thinking.py
    thinking            that read this field

Every form is a pure function of one problem's selection, so memory does not grow with the dataset
and equal ledgers give equal rows. What is trained towards is always taken from what was kept, and
what is trained away from was judged wrong, never merely not judged right.
"""

from __future__ import annotations

from factory.configs.pairs import PREFERENCE, UNPAIRED
from factory.configs.steps import STEPWISE
from factory.configs.tasks import RL
from factory.configs.thinking import REASONING_CONTENT, THINKING
from factory.shards import ALL, DEFAULT, Config
from factory.traces import TraceOptions

CONFIGS: tuple[Config, ...] = (
    DEFAULT,
    ALL,
    PREFERENCE,
    UNPAIRED,
    RL,
    STEPWISE,
    REASONING_CONTENT,
    THINKING,
)
"""In the order of the card; the first is what `load_dataset` takes by default."""


def chosen(options: TraceOptions) -> tuple[Config, ...]:
    """The configs to write: `default` and those that are asked for, in the order of the card."""
    return tuple(c for c in CONFIGS if c is DEFAULT or c.name in options.configs)
