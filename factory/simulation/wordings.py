"""In whose words a right rollout is: one in the words of an earlier one is no new trace.

The wordings of a problem have the sizes of a stick that is broken again and again (Griffiths,
Engen, McCloskey; Ewens 1972, "The sampling theory of selectively neutral alleles"): few are common
and many are rare. One figure fixes them, the chance that two right rollouts are in the same words.
After r right rollouts with concentration t = 1 / repeats - 1, the next is new with t / (t + r).
"""

from __future__ import annotations

from bisect import bisect_right

_WORD = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
_UNIT = 1 << 64
_MOST = 256


def mixed(word: int) -> int:
    """64 bits in which every bit depends on every bit of `word`.

    SplitMix64's output function (Steele, Lea, Flood 2014): a stream of it over equal steps of the
    golden ratio passes as random, which Python's own hash of small numbers does not.
    """
    word &= _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)


class Wordings:
    """The wordings of one problem.

    Args:
        place: 64 random bits of the problem's own.
        repeats: chance that two right rollouts are in the same words.
    """

    __slots__ = ("_ends", "_left", "_place", "_power")

    def __init__(self, place: int, repeats: float) -> None:
        self._place = place
        self._power = repeats / (1 - repeats) if repeats < 1 else float("inf")
        self._left = 1.0
        self._ends: list[float] = []

    def number(self, at: float) -> int | None:
        """The wording at a place in [0, 1); None: one of those so rare that it comes but once."""
        ends = self._ends
        while (not ends or ends[-1] <= at) and len(ends) < _MOST:
            rest = mixed(self._place ^ (len(ends) + 1) * GOLDEN) / _UNIT
            self._left *= rest**self._power
            ends.append(1 - self._left)
        found = bisect_right(ends, at)
        return found if found < len(ends) else None
