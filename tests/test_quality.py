import json
import random
from dataclasses import replace

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.curation import leaks
from factory.curation.leaks import personal_data, secret
from factory.curation.quality import (
    FORM,
    LEAKS,
    MEANINGS,
    RULES,
    Quality,
    flaw,
    leak,
    letters_by_script,
    loop,
    problem_leak,
    repeated,
)
from factory.types import Completion, Outcome, Problem, Rollout, Trace, Verdict, problem_id

GOOD = "<think>\nFirst add 2 and 2, which makes 4.\n</think>\n\nThe answer is \\boxed{4}."


def trace(text=GOOD, *, reasoning=None, finish="stop", tokens=40, prompt="2 + 2?"):
    problem = Problem(id=problem_id(prompt), prompt=prompt, answer="4", verifier="math")
    completion = Completion(text=text, reasoning=reasoning, finish_reason=finish, num_tokens=tokens)
    verdict = Verdict(
        problem_id=problem.id, index=0, outcome=Outcome.CORRECT, reward=1.0, extracted="4",
        detail="", verifier="math", verifier_version="1",
    )  # fmt: skip
    rollout = Rollout(problem_id=problem.id, index=0, model="m", completion=completion)
    return Trace(
        problem=problem, rollout=rollout, verdict=verdict, num_generations=1, pass_rate=1.0
    )


def rule(made, **options):
    found = flaw(made, Quality(**options))
    return found and found.rule


def test_a_long_run_without_a_space_is_searched_in_no_time():
    assert secret("eyJ" * 100_000) is None


def test_a_good_trace_passes_every_rule():
    assert rule(trace()) is None
    assert rule(trace("The answer is 4.", reasoning="2 and 2 make 4.")) is None
    strict = {"scripts": ("LATIN",), "personal": ("email", "phone", "card")}
    assert rule(trace(), reasoning="required", min_tokens=5, max_chars=500, **strict) is None


LOOP = GOOD + " The answer is indeed four, as I said." * 9
SAME = " ".join(["we try the next number and it does not divide the sum so"] * 12)
AWS = "AKIA" + "Q7W2E9R4T6Y1U3I5"
CASES = [
    (trace(finish="length"), {}, "finish", "finish reason 'length'"),
    (trace(GOOD.replace("</think>", "")), {}, "think", "1 <think> and 0 </think>"),
    (trace("</think>4"), {}, "think", "0 <think> and 1 </think>"),
    (trace("So " + GOOD), {}, "think", "not one pair in front"),
    (trace(GOOD + GOOD), {}, "think", "2 <think> and 2 </think>"),
    (trace(GOOD.partition("\n\n")[0]), {}, "think", "no answer"),
    (trace(" "), {}, "think", "no answer"),
    (trace(GOOD, reasoning="hm"), {}, "think", "stands apart"),
    (trace("4", reasoning="</think>"), {}, "think", "stands apart"),
    (trace("4"), {"reasoning": "required"}, "think", "required"),
    (trace("<think> </think>4"), {"reasoning": "required"}, "think", "required"),
    (trace(GOOD), {"reasoning": "none"}, "think", "none is wanted"),
    (trace("4", reasoning="x"), {"reasoning": "none"}, "think", "none is wanted"),
    (trace(tokens=4), {"min_tokens": 5}, "length", "4 tokens, at least 5"),
    (trace(tokens=6), {"max_tokens": 5}, "length", "6 tokens, at most 5"),
    (trace(), {"min_chars": 1000}, "length", "characters, at least 1000"),
    (trace("4" * 9, reasoning="x" * 9), {"max_chars": 17}, "length", "18 characters"),
    (trace(GOOD.replace("First", SAME)), {}, "repetition", "10-word runs repeat, at most 0.5"),
    (trace(LOOP), {"max_repetition": None}, "repetition", "ends with 9 times"),
    (trace(GOOD.replace("First", "第一步")), {"scripts": ("LATIN",)}, "scripts", "CJK"),
    (trace(GOOD.replace("First", "F\x00rst")), {}, "unprintable", r"U+0000 at character"),
    (trace(GOOD.replace("First", "F\ud800rst")), {}, "unprintable", "U+D800"),
    (trace(GOOD.replace("First", "F\u202erst")), {}, "unprintable", "U+202E"),
    (trace(GOOD.replace("First", "F\ufffdrst")), {}, "unprintable", "U+FFFD"),
    (trace(GOOD.replace("First", AWS)), {}, "secrets", "AWS Access Key"),
    (
        trace(GOOD + " Mail bob.smith@mit.edu."),
        {"personal": ("email",)},
        "personal",
        "email: 1 found",
    ),
]


@pytest.mark.parametrize(("made", "options", "name", "reason"), CASES)
def test_each_rule_says_what_it_found(made, options, name, reason):
    found = flaw(made, Quality(**options))
    assert found is not None
    assert found.rule == name
    assert reason in found.reason
    assert RULES[name](made, Quality(**options)) == found.reason


OFF = {
    "finished": False, "well_formed": False, "max_repetition": None, "max_loop": None,
    "max_mixed": None, "printable": False, "secrets": False,
}  # fmt: skip


@pytest.mark.parametrize("made", [made for made, options, *_ in CASES if not options])
def test_every_rule_can_be_switched_off(made):
    assert rule(made, **OFF) is None


@given(st.text(), st.none() | st.text(), st.sampled_from(["stop", "length"]))
def test_every_text_is_judged(text, reasoning, finish):
    options = Quality(scripts=("LATIN",), personal=("email", "phone", "card"), reasoning="required")
    found = flaw(trace(text, reasoning=reasoning, finish=finish), options)
    assert found is None or (found.rule in RULES and found.reason)


@pytest.mark.parametrize(
    "text",
    [
        "Row by row:\n" + "\n".join("0 0 0 0 0 0 0 0" for _ in range(40)),
        "-" * 300,
        "x = [" + ", ".join("1" for _ in range(200)) + "]",
        "| a | b |\n" * 3,
        "and so on . . . . . . . . . . . .",
        "for i in range(3):\n    print(i)\n" * 4,
    ],
)
def test_rows_rules_and_short_repeats_are_no_loop(text):
    assert loop(text)[0] <= 8
    assert repeated(text) == 0.0


@given(st.text("ab. ", max_size=12), st.text("ab 1", max_size=6), st.integers(0, 12))
def test_a_loop_is_the_most_repeats_of_any_size(before, unit, times):
    tail = (before + unit * times).rstrip()
    found = {1}
    for size in range(1, len(tail) // 2 + 1):
        part, count = tail[-size:], 1
        while tail[: len(tail) - count * size].endswith(part):
            count += 1
        if any(map(str.isalpha, part)) and len(set(part)) > 1:
            found.add(count)
    assert loop(tail)[0] == max(found)


@pytest.mark.parametrize("unit", ["wait, ", "I will check again.\n", "Hmm. Let me see whether 7 "])
def test_a_loop_is_found(unit):
    times, part = loop("Something first. " + unit * 20)
    assert times >= 19
    assert len(part) == len(unit)


def test_a_derivation_does_not_repeat():
    rng = random.Random(1)
    lines = [f"Try {n}: {n} * {n} = {n * n}, remainder {rng.randrange(99)}." for n in range(80)]
    assert repeated(" ".join(lines)) < 0.2
    assert repeated("a b c " * 5) == 0.0


def test_the_script_of_the_problem_is_not_foreign():
    text = GOOD.replace("First", "Слово")
    options = {"scripts": ("LATIN",)}
    assert rule(trace(text), **options) == "scripts"
    assert rule(trace(text, prompt="Что значит «слово»?"), **options) is None
    assert rule(trace(text)) is None
    assert rule(trace(GOOD.replace("2", "π α ∑ 𝑥 ℝ ⅓ é")), **options) is None  # noqa: RUF001
    assert letters_by_script("ab я 字") == {"LATIN": 2, "CYRILLIC": 1, "CJK": 1}


LONG = "\n".join(f"Step {n}: we add {n} and get {n * n}, which is not yet it." for n in range(9))


@pytest.mark.parametrize(
    ("prompt", "answer", "text", "found"),
    [
        ("Add 2 and 2.", "4", "所以我们需要先把这两个数字相加得到结果。" * 4, "scripts"),
        ("Add 2 and 2.", "4", "Теперь сложим эти два числа и получим ответ. " * 4, "scripts"),
        ("Add 2 and 2.", "4", "所以", None),
        ("Add 2 and 2.", "4", "π α β γ δ ε ζ η θ ι κ λ ∑ 𝑥 ℝ ⅓ é ü ß " * 4, None),  # noqa: RUF001
        ("2 加 2 等于多少?", "4", "所以我们需要先把这两个数字相加得到结果。" * 4, None),
        ("ひらがなで書いて", "4", "カタカナと漢字でも書ける文章です。" * 4, None),
        ("Write 'thanks' in Russian.", "спасибо", "Это слово пишется так. " * 9, None),
    ],
)
def test_another_language_in_the_midst_is_found_without_a_setting(prompt, answer, text, found):
    made = trace(f"<think>{LONG}\n{text}</think>4", prompt=prompt)
    made = replace(made, problem=replace(made.problem, answer=answer))
    options = {"max_repetition": None, "max_loop": None}
    assert rule(made, **options) == found
    assert rule(made, max_mixed=None, **options) is None


def test_a_few_letters_mix_no_languages():
    assert rule(trace("是的,答案是 4。")) is None


@given(st.text(max_size=300))
def test_letters_are_counted_alike_in_short_and_long_texts(text):
    short, many = letters_by_script(text), letters_by_script(text + " " * 10_000)
    assert short == many
    assert short.total() == sum(map(str.isalpha, text))


WORD = st.sampled_from(["so", "we", "7", "add", "=", "é1", "字"])


@given(st.lists(WORD, max_size=160))
def test_the_share_of_repeats_is_that_of_the_definition(words):
    runs = [tuple(words[i : i + 10]) for i in range(len(words) - 9)]
    runs = [run for run in runs if 2 * sum(any(map(str.isalpha, w)) for w in run) >= 10]
    expected = 1 - len(set(runs)) / len(runs) if len(runs) >= 50 else 0.0
    assert repeated(" ".join(words)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scripts": ("latin",)}, "no script 'latin'; scripts: LATIN, GREEK"),
        ({"min_tokens": 9, "max_tokens": 3}, "min_tokens 9 is above max_tokens 3"),
        ({"personal": ("address",)}, "'email', 'phone' or 'card'"),
        ({"reasonning": "any"}, "reasonning"),
        ({"max_repetition": 0}, "greater than 0"),
    ],
)
def test_bad_options_are_told(values, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        Quality.model_validate(values)


@pytest.mark.parametrize(
    "text",
    [
        f"export KEY={AWS}",
        "gh" + "p_" + "a1B2" * 9,
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "xox" + "b-123456789-abcdef12",
        "XOX" + "B-123456789-ABCDEF12",
        "token = h" + "f_" + "aB3dE" * 6 + "xYz4",
        "sk-" + "ant-api03-" + "aB3_d-" * 15,
        "AI" + "za" + "SyA1b2C3d" * 3 + "_4e5f6g7",
        "gl" + "pat-" + "a1B2c" * 4,
        "SG" + "." + "a1" * 11 + "." + "b" * 43,
        "123456789:" + "AbCdE" * 7,
        "M" + "a1B2c" * 4 + "xyz." + "a1B2c3" + "." + "d" * 27,
        "AWS_SECRET_ACCESS_KEY token='" + "aB3d/" * 8 + "'",
        "//registry.example/:_authToken=npm_" + "a1" * 18,
        "AccountKey=" + "aB3d" * 22,
        "sq0csp-" + "a" * 43,
        "s" + "k_live_" + "a1B2" * 6,
        "pypi-AgE" + "IcHlwaS5vcmc" + "a" * 70,
        "s" + "k-" + "a1B2" * 5 + "T3BlbkFJ" + "c3D4" * 5,
        "https://hooks.slack.com/services/" + "T1a/B2b/c3",
        "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxIn0.c2ln",
    ],
)
def test_keys_are_found(text):
    assert secret(f"First\n{text}\nlast")
    assert secret(text)


@pytest.mark.parametrize("kind", leaks.DETECTORS)
def test_every_kind_of_key_has_a_way_to_be_asked_for(kind):
    _, needles = leaks.DETECTORS[kind]
    assert bool(needles) != (kind in leaks._SHAPES)


@given(st.text(alphabet="aAwWsS:._-/key='AKIAeyJxob0123456789", max_size=120))
def test_what_is_asked_first_hides_no_key(text):
    found = {name for name in leaks.DETECTORS if any(leaks._detector(name).analyze_string(text))}
    assert (secret(text) is not None) >= bool(found)


def test_every_rule_has_a_meaning():
    assert list(MEANINGS) == list(RULES) == [*FORM, *LEAKS]


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("email", "to bob.smith@gmail.com.", {"bob.smith@gmail.com"}),
        ("email", "me@example.com a@b.test A@B.T W@xs.to(device) aa@bb.dot(c) x@y", set()),
        ("phone", "+49 30 1234567 or (212) 736-5000.", {"+49 30 1234567", "(212) 736-5000"}),
        ("phone", "100-200-3000, 1-2-3, 5+12 345 678 901, 212-555-0123, 12-34-5678", set()),
        ("card", "4539 1488 0343 6467", {"4539 1488 0343 6467"}),
        ("card", "4539 1488 0343 6468 1234 5678 9012 3456 4539148803436467", set()),
        ("card", "3782 822463 10005", {"3782 822463 10005"}),
    ],
)
def test_personal_data(kind, text, found):
    assert personal_data(kind, text) == found


def test_no_reason_quotes_what_nobody_should_see():
    for made, options in ((trace(f"{AWS} is it"), {}), (CASES[-1][0], CASES[-1][1])):
        reason = flaw(made, Quality(**options)).reason
        assert AWS not in reason
        assert "bob" not in reason


@pytest.mark.parametrize(
    "field", ["prompt", "answer", "source_id", "messages", "spec", "metadata", "deep in metadata"]
)
def test_a_leak_is_found_wherever_a_problem_holds_it(field):
    def problem(text):
        values = {
            "messages": ({"role": "system", "content": text}, {"role": "user", "content": "?"}),
            "spec": {"tests": [text]},
            "metadata": {text: 1},
            "deep in metadata": {"a": [{"b": text}]},
        }
        given = {field.removeprefix("deep in "): values.get(field, text)}
        return replace(trace().problem, **given)

    assert problem_leak(problem("so"), Quality(personal=("email",))) is None
    assert problem_leak(problem(AWS), Quality()) == "secrets"
    assert problem_leak(problem(AWS), Quality(secrets=False)) is None
    mail = problem("bob.smith@mit.edu")
    assert problem_leak(mail, Quality()) is None
    assert problem_leak(mail, Quality(personal=("phone", "email"))) == "personal"


@pytest.mark.parametrize("field", ["extracted", "detail"])
def test_a_leak_is_found_in_the_words_of_the_verifier(field):
    made = trace()
    made = replace(made, verdict=replace(made.verdict, **{field: AWS}))
    assert leak(made, Quality()) == "secrets"
    assert leak(made, Quality(secrets=False)) is None
    assert leak(trace(), Quality()) is None


def test_an_unknown_kind_is_told():
    with pytest.raises(ValueError, match="kind 'name'; kinds: email, phone, card"):
        personal_data("name", "")


def test_arithmetic_and_code_hold_no_keys_and_nobody():
    rng = random.Random(2)
    for _ in range(300):
        digits = [str(rng.getrandbits(rng.randrange(4, 120))) for _ in range(6)]
        text = (
            f"{digits[0]} + {digits[1]} = {digits[2]}, {digits[3]}-{digits[4]} (mod {digits[5]})\n"
            f"```python\nx = {digits[3]}  # {digits[1]}\n"
            f"assert f({digits[0]}) == '{digits[2]}'\n```"
        )
        assert secret(text) is None
        assert not any(personal_data(kind, text) for kind in ("email", "phone", "card"))


def test_the_section_survives_yaml():
    options = Quality(scripts=("LATIN",), personal=("card",))
    assert Quality.model_validate(json.loads(options.model_dump_json())) == options


@pytest.mark.parametrize(
    ("settings", "place", "what"),
    [
        ({"engine": {"args": [{"x": AWS}]}}, "engine.args.0.x", "AWS Access Key"),
        ({"url": "https://me:hunter2@host.example/v1"}, "url", "an address with a password"),
        ({"a": {"api_key": "9f8e7d6c5b4a39281706"}}, "a.api_key", "the value of 'api_key'"),
        ({"Authorization": "Bearer abcdef0123456789"}, "Authorization", "the value of 'Author"),
        ({"hf_token": "aaaa1111bbbb2222"}, "hf_token", "the value of 'hf_token'"),
    ],
)
def test_settings_that_hold_a_secret(settings, place, what):
    found = leaks.settings_leak(settings)
    assert found is not None
    assert found[0] == place
    assert found[1].startswith(what)


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key_env": "MY_PROVIDER_KEY_2024_LONG"},
        {"api_key": "EMPTY"},
        {"url": "http://host:8000/v1@2"},
        {"max_tokens": 4096, "hf_token": True, "pad_token": "<|endoftext_0123456789|>"},
        {"secret": "where the treasure of 1789 was"},
        {"model": "Qwen/Qwen3-0.6B", "revision": "c1899de289a04d12100db370d81485cdf75e47ca"},
        {},
        [None, 1.5],
    ],
)
def test_settings_that_hold_none(settings):
    assert leaks.settings_leak(settings) is None
