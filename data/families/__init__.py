"""Twelve families of procedural maths problems, three levels each.

`FAMILIES` maps a name to the function that draws one problem. All randomness comes from the
`random.Random` handed in, so the same seed gives the same problems.
"""

from data.families.algebra import equation, sequence
from data.families.arithmetic import addition, chain, multiplication, subtraction
from data.families.core import LEVELS, STYLES, Family, Problem, Style, is_held_out
from data.families.everyday import sorting, story, weekday
from data.families.whole_numbers import base, gcd, power

FAMILIES: dict[str, Family] = {
    "addition": addition,
    "subtraction": subtraction,
    "chain": chain,
    "multiplication": multiplication,
    "gcd": gcd,
    "equation": equation,
    "power": power,
    "base": base,
    "story": story,
    "sequence": sequence,
    "weekday": weekday,
    "sorting": sorting,
}

__all__ = ["FAMILIES", "LEVELS", "STYLES", "Family", "Problem", "Style", "is_held_out"]
