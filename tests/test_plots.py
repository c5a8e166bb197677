"""The card's plots are sound SVG and show the counts."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import plots
from factory.card import Counts

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = Counts(
    pass_rates={"0%": 3, "≤50%": 0, "100%": 9},
    lengths={"64": {"accepted": 5, "not accepted": 15}, "128": {"not accepted": 10}},
    token_fates={"accepted": 1_234_567, "wrong": 100, "could not tell <&>": 0},
)


def bars(text):
    root = ET.fromstring(text)
    return [r for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]


def test_bars_are_as_high_as_their_numbers():
    rates, lengths, tokens = plots.charts(COUNTS)
    heights = [float(bar.get("height")) for bar in bars(plots.svg(rates))]
    assert heights[0] * 3 == pytest.approx(heights[2], abs=0.2)
    assert heights[1] == 0
    stacked = bars(plots.svg(lengths))
    assert [b.find(f"{SVG}title").text for b in stacked] == [
        "64, accepted: 5", "64, not accepted: 15", "128, accepted: 0", "128, not accepted: 10",
    ]  # fmt: skip
    below, above = stacked[:2]
    assert float(above.get("y")) + float(above.get("height")) == pytest.approx(
        float(below.get("y")), abs=0.2
    )
    assert "1235k" in plots.svg(tokens)


def test_files_and_their_titles(tmp_path):
    written = plots.write(tmp_path, COUNTS)
    assert list(written.values()) == ["plots/pass_rate.svg", "plots/length.svg", "plots/tokens.svg"]
    for path in written.values():
        assert ET.parse(tmp_path / path).getroot().tag == f"{SVG}svg"


def test_nothing_to_show_is_no_file(tmp_path):
    assert plots.write(tmp_path, Counts()) == {}
    assert plots.write(tmp_path, Counts(pass_rates={"0%": 0}, token_fates={"wrong": 0})) == {}
    assert list(tmp_path.iterdir()) == []


@given(st.dictionaries(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
                       st.integers(0, 10**15), min_size=1, max_size=20))  # fmt: skip
def test_any_counts_stay_within_the_picture(numbers):
    for chart in plots.charts(Counts(token_fates=numbers)):
        for bar in bars(plots.svg(chart)):
            top, tall = float(bar.get("y")), float(bar.get("height"))
            assert plots.TOP - 0.1 <= top <= top + tall <= plots.BASE + 0.1
            left = float(bar.get("x"))
            assert plots.LEFT <= left <= left + float(bar.get("width")) <= plots.WIDTH


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9999, "9999"), (10_000, "10k"), (9_999_499, "9999k"), (10**7, "10M"),
     (10**16, "10000T")],
)  # fmt: skip
def test_short_numbers(number, text):
    assert plots.short(number) == text
