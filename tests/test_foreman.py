"""The foreman as a pure machine: a little world plays replicas and judges against it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.policies import Decision, Tally, adaptive, fixed
from factory.scheduling import events as ev
from factory.scheduling.foreman import Foreman
from factory.types import Outcome, RolloutKey


@dataclass
class World:
    """Carries out actions in a random order; `rate` is every problem's pass rate."""

    foreman: Foreman
    problems: int
    rng: random.Random
    rate: float = 0.5
    lose: float = 0.0
    poison: str = ""
    running: dict[str, set[RolloutKey]] = field(default_factory=dict)
    judging: list[RolloutKey] = field(default_factory=list)
    generated: Counter = field(default_factory=Counter)
    judged: Counter = field(default_factory=Counter)
    closed: dict[str, str] = field(default_factory=dict)
    admitted: int = 0
    wanted: int = 0
    losses: int = 0

    def act(self, actions):
        for action in actions:
            match action:
                case ev.Generate(replica, key, _):
                    assert key not in self.running[replica]
                    self.running[replica].add(key)
                case ev.Abort(replica, key):
                    if key in self.running.get(replica, ()):
                        self.running[replica].discard(key)
                        self.act(self.foreman.handle(ev.Finished(key, aborted=True)))
                case ev.Verify(key):
                    self.judging.append(key)
                case ev.Admit(count):
                    self.wanted += count
                case ev.Close(pid, reason):
                    assert pid not in self.closed
                    self.closed[pid] = reason

    def choices(self):
        out = []
        if self.wanted and self.admitted < self.problems:
            out.append(self.admit)
        if self.wanted and self.admitted == self.problems and not self.foreman.source_ended:
            out.append(lambda: self.act(self.foreman.handle(ev.SourceEnded())))
        busy = sorted((r, k) for r, keys in self.running.items() for k in keys)
        if busy:
            replica, key = self.rng.choice(busy)
            out.append(lambda: self.finish(replica, key))
        if self.judging:
            out.append(self.judge)
        return out

    def admit(self):
        self.wanted -= 1
        self.admitted += 1
        self.act(self.foreman.handle(ev.Admitted(f"p{self.admitted}")))

    def finish(self, replica, key):
        if key.problem_id == self.poison or self.rng.random() < self.lose:
            self.losses += 1
            self.running.pop(replica)
            self.act(self.foreman.handle(ev.ReplicaLost(replica)))
            name = f"{replica}'"
            self.running[name] = set()
            self.act(self.foreman.handle(ev.ReplicaReady(name, 4)))
            return
        self.running[replica].discard(key)
        self.generated[key] += 1
        self.act(self.foreman.handle(ev.Finished(key)))

    def judge(self):
        key = self.judging.pop(self.rng.randrange(len(self.judging)))
        self.judged[key] += 1
        right = random.Random(str(key)).random() < self.rate
        outcome = Outcome.CORRECT if right else Outcome.INCORRECT
        self.act(self.foreman.handle(ev.Judged(key, outcome)))

    def play(self, replicas=2):
        for number in range(replicas):
            self.running[f"r{number}"] = set()
            self.act(self.foreman.handle(ev.ReplicaReady(f"r{number}", 4)))
        for _ in range(100_000):
            if self.foreman.done:
                return self
            self.rng.choice(self.choices())()
            assert all(len(keys) <= 4 for keys in self.running.values())
        raise AssertionError("the world does not end")


def world(policy, problems=20, seed=0, **more):
    return World(Foreman(policy), problems, random.Random(seed), **more)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), problems=st.integers(0, 25))
@settings(max_examples=40, deadline=None)
def test_fixed_generates_and_judges_each_rollout_once(seed, n, problems):
    w = world(fixed.Policy(n=n), problems, seed).play()
    assert len(w.closed) == problems
    assert set(w.closed.values()) <= {"complete"}
    expected = {RolloutKey(f"p{p + 1}", i) for p in range(problems) for i in range(n)}
    assert set(w.generated) == set(w.judged) == expected
    assert {*w.generated.values(), *w.judged.values()} <= {1}


@given(seed=st.integers(0, 10**6), rate=st.sampled_from([0.0, 0.05, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_adaptive_stops_at_enough_and_never_exceeds_its_bound(seed, rate):
    policy = adaptive.Policy(accept=2, at_most=12)
    w = world(policy, 12, seed, rate=rate).play()
    per_problem = Counter(key.problem_id for key in w.generated)
    assert max(per_problem.values()) <= 12
    correct = Counter(k.problem_id for k in w.judged if random.Random(str(k)).random() < rate)
    for problem, reason in w.closed.items():
        assert (reason == "enough") == (correct[problem] >= 2)
    if rate == 0:
        assert set(w.closed.values()) <= {"spent", "deferred"}


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_losses_lose_and_repeat_nothing(seed):
    w = world(fixed.Policy(n=3), 15, seed, lose=0.05).play()
    done = [p for p, reason in w.closed.items() if reason == "complete"]
    for problem in done:
        assert [w.generated[RolloutKey(problem, i)] for i in range(3)] == [1, 1, 1]
    assert set(w.judged.values()) == {1}


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("lose", [0.0, 0.02])
def test_a_poisoned_problem_is_set_aside_and_its_neighbours_are_not(seed, lose):
    w = world(fixed.Policy(n=3), 15, seed, poison="p7", lose=lose).play()
    aside = {p for p, reason in w.closed.items() if reason.startswith("set aside")}
    assert aside == {"p7"}
    assert w.losses <= 25


def lose(f: Foreman, replica: str, reason: str = "") -> list[ev.Action]:
    """A replica is lost, and another one of the same size comes."""
    return f.handle(ev.ReplicaLost(replica, reason), ev.ReplicaReady(f"{replica}'", 8))


def test_the_evidence_against_a_poisoned_problem_is_what_the_engine_said_last():
    f = Foreman(fixed.Policy(n=1))
    f.handle(ev.Admitted("bad"), ev.ReplicaReady("r", 8), ev.Admitted("good"))
    closed: list[ev.Action] = []
    name = "r"
    for _ in range(9):
        if RolloutKey("good", 0) in f._berths[name].running:
            closed += f.handle(ev.Finished(RolloutKey("good", 0)))
        if RolloutKey("bad", 0) in f._berths[name].running:
            closed += lose(f, name, "CUDA error: illegal address")
            name += "'"
    (close,) = (a for a in closed if isinstance(a, ev.Close))
    assert close.problem_id == "bad"
    assert close.reason.startswith("set aside: it lost")
    assert "CUDA error: illegal address" in close.reason


def test_replicas_that_die_of_everything_convict_nobody_soon():
    """Where nothing ends well, it is not the problems' fault."""
    f = Foreman(fixed.Policy(n=1))
    f.handle(ev.ReplicaReady("r", 8), *(ev.Admitted(f"p{i}") for i in range(8)))
    name, actions = "r", []
    for _ in range(20):
        actions += lose(f, name)
        name += "'"
    assert not [a for a in actions if isinstance(a, ev.Close)]
    for _ in range(300):
        actions += lose(f, name)
        name += "'"
    # but it ends: what never ran well is set aside in the end
    assert len([a for a in actions if isinstance(a, ev.Close)]) == 8


def test_nothing_new_is_handed_out_while_too_much_waits_for_a_judge():
    f = Foreman(fixed.Policy(n=10), max_unjudged=4)
    f.handle(ev.ReplicaReady("r", 3), ev.Admitted("p"))
    keys = [RolloutKey("p", i) for i in range(10)]
    f.handle(*(ev.Finished(k) for k in keys[:3]))
    assert f.running == 3
    f.handle(*(ev.Finished(k) for k in keys[3:6]))
    assert f.running == 0
    f.handle(ev.Judged(keys[0], Outcome.CORRECT), ev.Judged(keys[1], Outcome.CORRECT))
    assert f.running == 0
    actions = f.handle(ev.Judged(keys[2], Outcome.INCORRECT))
    assert [a.key for a in actions if isinstance(a, ev.Generate)] == keys[6:9]


@given(seed=st.integers(0, 10**6), most=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_the_backlog_of_judges_is_bounded_and_nothing_waits_for_ever(seed, most):
    w = World(Foreman(fixed.Policy(n=5), max_unjudged=most), 12, random.Random(seed))
    longest = 0
    act = w.act

    def watched(actions):
        nonlocal longest
        act(actions)
        longest = max(longest, len(w.judging))

    w.act = watched
    w.play()
    assert len(w.judged) == 60
    assert longest < most + 8  # two replicas of four slots were full when the bound was reached


def test_a_problem_whose_checker_fails_and_never_tells_is_set_aside():
    f = Foreman(fixed.Policy(n=30))
    f.handle(ev.ReplicaReady("r", 20), ev.Admitted("p"))
    actions = []
    for index in range(8):
        actions += f.handle(ev.Finished(RolloutKey("p", index)))
        actions += f.handle(ev.Judged(RolloutKey("p", index), Outcome.TIMEOUT))
    assert sum(isinstance(a, ev.Abort) for a in actions) == 20
    for index in range(8, 28):
        actions += f.handle(ev.Finished(RolloutKey("p", index), aborted=True))
    (close,) = (a for a in actions if isinstance(a, ev.Close))
    assert close.reason == (
        "set aside: the checker failed on 8 rollouts and judged none, the last outcome: timeout"
    )


@pytest.mark.parametrize("told", [Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNSURE])
def test_a_checker_that_can_tell_sometimes_sets_nothing_aside(told):
    f = Foreman(fixed.Policy(n=12))
    f.handle(ev.ReplicaReady("r", 20), ev.Admitted("p"))
    outcomes = [told] * 5 + [Outcome.TIMEOUT] * 7
    actions = []
    for index, outcome in enumerate(outcomes):
        actions += f.handle(ev.Finished(RolloutKey("p", index)))
        actions += f.handle(ev.Judged(RolloutKey("p", index), outcome))
    assert [a.reason for a in actions if isinstance(a, ev.Close)] == ["complete"]


def test_one_loss_holds_nothing_back():
    f = Foreman(fixed.Policy(n=64))
    f.handle(ev.Admitted("p"), ev.ReplicaReady("r", 64))
    actions = f.handle(ev.ReplicaLost("r"), ev.ReplicaReady("s", 64))
    again = [a for a in actions if isinstance(a, ev.Generate)]
    assert len(again) == 64
    assert all(a.interrupted for a in again)


def test_a_second_loss_halves_the_company():
    f = Foreman(fixed.Policy(n=8))
    f.handle(ev.Admitted("p"), ev.ReplicaReady("r", 64))
    f.handle(ev.ReplicaLost("r"), ev.ReplicaReady("s", 64))
    for name, expected in (("t", 4), ("u", 4), ("v", 2), ("w", 1)):
        actions = f.handle(ev.ReplicaLost(chr(ord(name) - 1)), ev.ReplicaReady(name, 64))
        assert sum(isinstance(a, ev.Generate) for a in actions) == expected, name


def test_source_is_asked_before_the_queue_is_dry_and_never_floods():
    f = Foreman(fixed.Policy(n=2), max_open=5)
    assert f.handle(ev.ReplicaReady("r", 8)) == [ev.Admit(5)]
    actions = f.handle(*(ev.Admitted(f"p{i}") for i in range(5)))
    assert sum(isinstance(a, ev.Generate) for a in actions) == 8
    assert not any(isinstance(a, ev.Admit) for a in actions)
    assert f.open_problems == 5


def test_history_is_taken_up_where_it_was():
    past = ev.History(ended=(0, 2), correct=1, unjudged=(2,), partial=(1, 4))
    f = Foreman(fixed.Policy(n=6))
    assert f.handle(ev.Admitted("p", past)) == [ev.Verify(RolloutKey("p", 2))]
    actions = f.handle(ev.ReplicaReady("r", 8))
    generate = {a.key.index: a.interrupted for a in actions if isinstance(a, ev.Generate)}
    # 3 was in flight without a logged token; 5 was never handed out
    assert generate == {1: True, 3: True, 4: True, 5: False}


def test_refused_prompt_sets_its_problem_aside_at_once():
    f = Foreman(fixed.Policy(n=2))
    f.handle(ev.Admitted("p"), ev.ReplicaReady("r", 1))
    actions = f.handle(ev.Failed(RolloutKey("p", 0), "prompt too long", fatal=True))
    assert ev.Close("p", "refused: prompt too long") in actions


def test_enough_aborts_what_is_still_running():
    f = Foreman(adaptive.Policy(accept=1, at_most=3, haste=1))
    f.handle(ev.Admitted("p"), ev.ReplicaReady("r", 8))
    f.handle(ev.Finished(RolloutKey("p", 0)))
    actions = f.handle(ev.Judged(RolloutKey("p", 0), Outcome.CORRECT))
    aborted = [a.key for a in actions if isinstance(a, ev.Abort)]
    assert aborted == [RolloutKey("p", 1)]
    assert f.handle(ev.Finished(aborted[0], aborted=True))[0] == ev.Close("p", "enough")


def test_adaptive_gives_up_by_posterior_alone():
    policy = adaptive.Policy(accept=1, at_most=1000, give_up=0.2)
    w = 1
    while not (d := policy.decide(Tally(started=w, incorrect=w))).close:
        w += 1
    assert d == Decision(close="deferred")
    left = 1000 - w
    none = 1.0
    for i in range(left):  # the product form of the same chance
        none *= (0.5 + w + i) / (1.0 + w + i)
    assert 1 - none == pytest.approx(policy.chance(Tally(incorrect=w), left))
    assert 1 - none < 0.2


@pytest.mark.parametrize(
    "options",
    [{"accept": 0}, {"accept": 5, "at_most": 4}, {"give_up": 1.0}, {"prior": (0.0, 1.0)}],
)
def test_adaptive_refuses_senseless_options(options):
    with pytest.raises(ValueError, match="must be"):
        adaptive.Policy(**options)
