import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.contamination.wording import GRID, is_given, wording


def words(text):
    return wording(text).words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"Find $\dfrac{1}{2} + x$.", "find 1/2 + x"),
        (r"\( n \leq 1{,}000 \)", "n ≤ 1,000"),
        (r"$$\frac{\frac{1}{2}}{3}$$", "1/2/3"),
        (r"3 \cdot 4 \times 5", "3 · 4 × 5"),  # noqa: RUF001
        ("x² + y³", "x^2 + y**3"),
        ("one hundred and five apples", "105 apples"),
        ("twenty-five kilometres", "25 km"),
        ("two dozen eggs; three million two hundred thousand and six", "24 egg 3200006"),
        ("The ＷＩＤＥ text", "wide text"),  # noqa: RUF001
        ("Ann's 10-day trip", "Ann 10 day trip"),
        ("50% of it — truly", "50 percent of it - truly"),
        ("“Quoted”, text!", "quoted text"),
        ("3.50 or 007", "3.5 or 7"),
    ],
)
def test_typography_makes_no_difference(one, other):
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 + 5", "3 - 5"),
        ("3.5", "35"),
        ("1000", "1 000"),
        ("sum of squares", "sum of cubes"),
        ("x < 3", "x ≤ 3"),
    ],
)
def test_what_changes_the_question_does(one, other):
    assert words(one) != words(other)


def test_variables_are_one_word_and_keep_their_letters():
    one, other = wording("Let x + y = 3"), wording("Let p + q = 3")
    assert one.words == other.words
    assert one.letters != other.letters
    assert len(one.words) == len(one.letters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three", ["1", "2", "3"]),
        ("three hundred and", ["300", "and"]),
        ("one hundred twenty", ["120"]),
        ("twenty one hundred", ["2100"]),
        ("nineteen ninety", ["19", "90"]),
        ("hundred thousand", ["100000"]),
        ("and five", ["and", "5"]),
        ("a dozen dozen", ["?", "12", "12"]),
    ],
)
def test_number_words(text, expected):
    assert words(text) == expected


@given(st.integers(0, 999_999))
def test_every_number_reads_as_its_words(number):
    from benchmarks._edits import spelled

    assert words(f"exactly {spelled(number)} things") == ["exactly", str(number), "thing"]


def test_lines_of_a_grid_are_words():
    grid = "Solve:\n1 2 _ 4\n_ 3 # 1\n. @ . .\nNow answer."
    assert words(grid) == ["solve", f"{GRID}12_4", f"{GRID}_3#1", f"{GRID}.@..", "now", "answer"]
    assert is_given(words(grid)[1])
    assert words(grid) != words(grid.replace("#", "@"))
    assert GRID not in "".join(words("Two lines:\n1 2 _ 4\n_ 3 # 1\nare none."))


def test_a_row_of_letters_is_a_word():
    one, other = words("use b, c, d, e, f"), words("use b, c, d, f, e")
    assert len(one) == 2
    assert one != other


@given(st.text())
def test_any_text_has_words(text):
    read = wording(text)
    assert len(read.words) == len(read.letters)
    assert all(read.words)


@given(st.text(st.sampled_from("abcXYZ 0123456789+-=.,\\${}\n"), max_size=80))
def test_case_and_blanks_make_no_difference(text):
    if text.count("\n") < 2:
        assert words(text) == words(text.upper()) == words(text.replace(" ", "   "))
