r"""Brings an answer into one spelling: Unicode to LaTeX, one command per meaning, no layout.

Nothing here changes a value: what is not understood stays as it is and is refused later.
"""

from __future__ import annotations

import re

from verifiers import _final

_CHARACTERS = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-", "\ufe63": "-",
    "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u2217": "*", "\u00f7": "/",
    "\u2044": "/", "\u2215": "/", "\u2264": r"\leq ", "\u2265": r"\geq ", "\u2a7d": r"\leq ",
    "\u2a7e": r"\geq ", "\u2260": r"\neq ", "\u2248": r"\approx ", "\u00b1": r"\pm ",
    "\u2213": r"\mp ", "\u221e": r"\infty ", "\u222a": r"\cup ", "\u2229": r"\cap ",
    "\u2208": r"\in ", "\u2205": r"\emptyset ", "\u00b0": r"\degree ", "\u221a": r"\sqrt ",
    "\u03c0": r"\pi ", "\u2026": r"\ldots ", "\u22ef": r"\ldots ", "\u2032": "'", "\u2019": "'",
    "\u00b2": "^{2}", "\u00b3": "^{3}", "\u00b9": "^{1}", "\u2070": "^{0}", "\u207b\u00b9": "^{-1}",
    "\u00bd": r"\frac{1}{2}", "\u2153": r"\frac{1}{3}", "\u2154": r"\frac{2}{3}",
    "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}", "\u20ac": r"\text{euro}",
    "\u00a3": r"\text{pound}", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u3000": " ",
    "\u200b": "", "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "",
}  # fmt: skip
_CHARACTERS |= {chr(0x2074 + d): f"^{{{d + 4}}}" for d in range(6)}
_CHARACTERS |= {chr(0x2080 + d): f"_{{{d}}}" for d in range(10)}
_CHARACTERS |= {chr(0xFF01 + n): chr(0x21 + n) for n in range(94)}
_GREEK_NAMES = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho
    varsigma sigma tau upsilon phi chi psi omega"""
_GREEK = _GREEK_NAMES.split()
_CHARACTERS |= {chr(0x3B1 + n): f"\\{name} " for n, name in enumerate(_GREEK)}
_TABLE = {ord(k): v for k, v in _CHARACTERS.items() if len(k) == 1}
_RUN = re.compile(r"(?:\^\{\d\}){2,}|(?:_\{\d\}){2,}")

ROW = "\u00b6"
r"""Stands for the `\\` that ends a row of a matrix."""
_COMMANDS = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom",
    "tbinom": r"\binom", "le": r"\leq", "leqslant": r"\leq", "ge": r"\geq", "geqslant": r"\geq",
    "lt": "<", "gt": ">", "ne": r"\neq", "cdot": "*", "times": "*", "ast": "*", "div": "/",
    "dots": r"\ldots", "cdots": r"\ldots", "dotsc": r"\ldots", "vert": "|", "lvert": "|",
    "rvert": "|", "mid": "|", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]",
    "lparen": "(", "rparen": ")", "varnothing": r"\emptyset", "infin": r"\infty", "deg": r"\degree",
    "textdegree": r"\degree", "quad": " ", "qquad": " ", "thinspace": " ", "left": "", "right": "",
    "big": "", "Big": "", "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "bigg": "", "Bigg": "",
    "displaystyle": "", "textstyle": "", "limits": "", "nolimits": "", "textrm": r"\text",
    "textbf": r"\text", "textit": r"\text", "textnormal": r"\text", "mathrm": r"\text",
    "mbox": r"\text", "operatorname": r"\text", "mathbf": r"\text", "rm": "", "land": r"\wedge",
    "lor": r"\vee", "thickspace": " ", "medspace": " ", "space": " ",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_GROUP = re.compile(r"(?<=\d)(?:\\,|\{,\}|,\\!|\\!|\\ |~)(?=\d{3}(?!\d))")
_SPACES = re.compile(r"\\[,;:> !]|~|\s+")
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_CONSTANT_TEXT = re.compile(r"\\mathrm\s*\{\s*([ei])\s*\}")
_FUNCTION_TEXT = re.compile(
    r"\\text\s*\{\s*(sin|cos|tan|cot|sec|csc|ln|log|exp|arcsin|arccos|arctan)\s*\}"
)
_LOOSE = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")


def clean(text: str) -> str:
    """One spelling for an answer."""
    text = text.translate(_TABLE)
    text = _RUN.sub(lambda m: m[0][:2] + re.sub(r"\D", "", m[0]) + "}", text)
    text = _final.bare(text).replace("\\\\", ROW)
    text = text.replace(r"\$", r"\dollar ").replace("$", "").replace(r"\%", "%")
    if text.startswith("~"):
        text = r"\approx " + text[1:]
    text = _GROUP.sub("", text)
    text = _DEGREE.sub(r"\\degree ", text)
    text = _CONSTANT_TEXT.sub(r"\1", text)
    text = _COMMAND.sub(_spell, text)
    text = _FUNCTION_TEXT.sub(r"\\\1 ", text)
    text = text.replace(r"+\infty", r"\infty")
    return " ".join(_SPACES.sub(" ", text).split()).rstrip(",; ")


def _spell(match: re.Match[str]) -> str:
    name = match[1]
    if name not in _COMMANDS:
        return match[0]
    # A command may have ended a word: `\cdot x` becomes `* x`, `\le x` becomes `\leq x`.
    return _COMMANDS[name]


def key(cleaned: str) -> str:
    """The string by which two answers are literally the same."""
    return _LOOSE.sub("", cleaned)
