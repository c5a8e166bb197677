"""Which program a completion gives, read off its fences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers import _code_blocks
from verifiers._code_blocks import blocks, fenced, last


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```", "a\n"),
        ("```py\na\n```\n\n```python3\nb\n```", "b\n"),
        ("```python\na\n```\n```text\nb\n```", "a\n"),
        ("~~~python\na\n~~~", "a\n"),
        ("  ```python\n  a\n    b\n  ```", "a\n  b\n"),
        ("````python\n```\na\n````", "```\na\n"),
        ("```python\na\n`````", "a\n"),
        ('```{.python} \na\n```\n```python {line=1} title="x"\nb\n```', "b\n"),
        ("```Python:main.py\na\n```", "a\n"),
        ("```python\r\na\r\n```\r\n", "a\n"),
        ("```python\na\n~~~\n```", "a\n~~~\n"),
    ],
)
def test_the_last_block_of_the_language_is_taken(text, code):
    assert last(text, "python") == (code, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no ```python block"),
        ("print(1)", "no ```python block"),
        ("```\nprint(1)\n```", "no ```python block; blocks: without a language"),
        ("```java\nx\n```\n```c++\nx\n```", "no ```python block; blocks: c++, java"),
        ("```python\nprint(1)", "the ```python block is not closed"),
        ("```python\na\n```\n```python\nb", "the ```python block is not closed"),
        ("```python\n \n```", "the ```python block is empty"),
        ("```text\n```python\na\n```", "no ```python block; blocks: text"),
        ("```python `x`\na\n```", "no ```python block; blocks: without a language"),
        ("```python\nx = '\ud800'\n```", "the program is not UTF-8"),
        ("```python\n" + "#" * _code_blocks.MAX_CODE + "\n```", "longer than 262144 bytes"),
    ],
)
def test_where_there_is_none_it_is_said_why(text, why):
    code, said = last(text, "python")
    assert code is None
    assert why in said


def test_languages_do_not_stand_for_each_other():
    text = "```cpp\nint main() {}\n```\n```python\nprint(1)\n```"
    assert last(text, "cpp") == ("int main() {}\n", "")
    assert last(text, "python") == ("print(1)\n", "")


@given(st.text("abc`~ \n\t", min_size=1, max_size=60).filter(lambda s: s.strip()))
@settings(max_examples=500, derandomize=True)
def test_a_fenced_program_is_read_back(code):
    assert last(fenced(code, "python"), "python") == (code.rstrip() + "\n", "")


@given(st.text("`~ap \n\t", max_size=80))
@settings(max_examples=500, derandomize=True)
def test_any_text_has_blocks_of_which_only_the_last_may_be_open(text):
    found = list(blocks(text))
    assert all(block.closed for block in found[:-1])
    assert all("\r" not in block.code for block in found)
