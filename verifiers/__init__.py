"""One file per verifier: each defines a dataclass `Verifier` whose fields are its options.

    class Verifier:
        version: ClassVar[str]                       # raise it whenever a verdict may change
        def verify(self, problem, completion) -> Judgement
        def reference(self, problem) -> str          # a completion that must be CORRECT
        def perturb(self, problem) -> Iterator[str]  # completions that must not be

`verify` raises nothing on purpose and catches nothing either: it runs in a killable process
(`factory.verdicts`), where a crash, a hang or a memory blow-up becomes an outcome of its own.
It is a pure function of its arguments. `reference` raises ValueError where the problem cannot be
verified at all (no answer, an answer that cannot be read): the problem is then set aside.
Golden cases stand in `verifiers/golden/NAME.jsonl`: problem fields, `completion`, `outcome`.
"""
