r"""Brings an answer into one spelling: Unicode to LaTeX, one command per meaning, no layout.

Nothing here changes a value: what is not understood stays as it is and is refused later.
"""

from __future__ import annotations

import re
import unicodedata

from verifiers import _final

_CHARACTERS = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-", "\ufe63": "-",
    "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u2217": "*", "\u00f7": "/",
    "\u2044": "/", "\u2215": "/", "\u2264": r"\leq ", "\u2265": r"\geq ", "\u2a7d": r"\leq ",
    "\u2a7e": r"\geq ", "\u2260": r"\neq ", "\u2248": r"\approx ", "\u00b1": r"\pm ",
    "\u2213": r"\mp ", "\u221e": r"\infty ", "\u222a": r"\cup ", "\u2229": r"\cap ",
    "\u2208": r"\in ", "\u2205": r"\emptyset ", "\u00b0": r"\degree ", "\u221a": r"\sqrt ",
    "\u221b": r"\sqrt[3]", "\u2216": r"\setminus ", "\u2261": r"\equiv ", "\u2220": r"\angle ",
    "\u211d": r"\mathbb{R}", "\u2124": r"\mathbb{Z}", "\u2115": r"\mathbb{N}",
    "\u211a": r"\mathbb{Q}", "\u2102": r"\mathbb{C}", "\u2192": r"\to ", "\u21d2": r"\to ",
    "\u03c0": r"\pi ", "\u2026": r"\ldots ", "\u22ef": r"\ldots ", "\u2032": "'", "\u2019": "'",
    "\u230a": r"\lfloor ", "\u230b": r"\rfloor ", "\u2308": r"\lceil ", "\u2309": r"\rceil ",
    "\u27e8": r"\langle ", "\u27e9": r"\rangle ",
    "\u00b2": "^{2}", "\u00b3": "^{3}", "\u00b9": "^{1}", "\u2070": "^{0}", "\u207f": "^{n}",
    "\u00bd": r"\frac{1}{2}", "\u2153": r"\frac{1}{3}", "\u2154": r"\frac{2}{3}",
    "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}", "\u2155": r"\frac{1}{5}",
    "\u2156": r"\frac{2}{5}", "\u2157": r"\frac{3}{5}", "\u2158": r"\frac{4}{5}",
    "\u2159": r"\frac{1}{6}", "\u215a": r"\frac{5}{6}", "\u215b": r"\frac{1}{8}",
    "\u215c": r"\frac{3}{8}", "\u215d": r"\frac{5}{8}", "\u215e": r"\frac{7}{8}",
    "\u20ac": r"\text{euro}", "\u00a3": r"\text{gbp}", "\u20b9": r"\text{rupee}",
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u3000": " ", "\u2007": " ", "\u200a": " ",
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
_TABLE = {ord(k): v for k, v in _CHARACTERS.items()}
_STYLED = re.compile("[\U0001d400-\U0001d7ff]")
_MINUS = re.compile("\u207b([\u00b9\u00b2\u00b3\u2074-\u2079\u207f])")
_RUN = re.compile(r"(?:\^\{\d\}){2,}|(?:_\{\d\}){2,}")

ROW = "\u00b6"
r"""Stands for the `\\` that ends a row of a matrix."""
_COMMANDS = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "nicefrac": r"\frac",
    "sfrac": r"\frac", "dbinom": r"\binom",
    "tbinom": r"\binom", "le": r"\leq", "leqslant": r"\leq", "ge": r"\geq", "geqslant": r"\geq",
    "lt": "<", "gt": ">", "ne": r"\neq", "cdot": "*", "times": "*", "ast": "*", "div": "/",
    "dots": r"\ldots", "cdots": r"\ldots", "dotsc": r"\ldots", "vert": "|", "lvert": "|",
    "rvert": "|", "mid": "|", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]",
    "lparen": "(", "rparen": ")", "varnothing": r"\emptyset", "infin": r"\infty", "deg": r"\degree",
    "textdegree": r"\degree", "quad": " ", "qquad": " ", "thinspace": " ", "left": "", "right": "",
    "big": "", "Big": "", "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "bigg": "", "Bigg": "",
    "biggl": "", "biggr": "", "Biggl": "", "Biggr": "", "bigm": "", "middle": "",
    "displaystyle": "", "textstyle": "", "limits": "", "nolimits": "", "textrm": r"\text",
    "textbf": r"\text", "textit": r"\text", "textnormal": r"\text", "mathrm": r"\text",
    "textsf": r"\text", "texttt": r"\text", "mathsf": r"\text", "mathit": r"\text",
    "boldsymbol": r"\text", "bm": r"\text", "bold": r"\text",
    "mbox": r"\text", "operatorname": r"\text", "mathbf": r"\text", "rm": "", "land": r"\wedge",
    "lor": r"\vee", "thickspace": " ", "medspace": " ", "space": " ", "colon": ":", "uppi": r"\pi",
    "smallsetminus": r"\setminus", "backslash": r"\setminus", "Bbb": r"\mathbb",
    "R": r"\mathbb{R}", "Z": r"\mathbb{Z}", "N": r"\mathbb{N}", "Q": r"\mathbb{Q}",
    "reals": r"\mathbb{R}", "iff": r"\Leftrightarrow", "implies": r"\to", "Rightarrow": r"\to",
    "overrightarrow": r"\vec", "rightarrow": r"\to", "longrightarrow": r"\to",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_BARE_SET = re.compile(r"\\mathbb\s*(?:\{\s*([A-Z])\s*\}|([A-Z]))")
_SPACED_DIGITS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:(?P<by>\\,|\{,\}|,\\! ?|\\!|\\ |~|\{ \})\d{3})(?:(?P=by)\d{3})*(?!\d)"
)
_POINT = re.compile(r"(?<=\d)\{\.\}(?=\d)")
_SPACES = re.compile(r"\\[,;:> !]|~|\s+")
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_CONSTANT_TEXT = re.compile(r"\\mathrm\s*\{\s*([ei])\s*\}")
_FREE_CONSTANT = re.compile(r"([+-]\s*)\\(?:mathrm|text)\s*\{\s*([CcK])\s*\}")
_FUNCTION_TEXT = re.compile(
    r"\\text\s*\{\s*(sin|cos|tan|cot|sec|csc|ln|log|exp|arcsin|arccos|arctan)\s*\}"
)
_DOTTED = re.compile(r"(\d*\.\d*)\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?(?!\d)")
_PERIOD = re.compile(r"(\d*\.\d*)\((\d{1,40})\)")
_BAR = re.compile(r"(\d*\.\d*)\\(?:bar|overline)\s*(?:\{\s*(\d+)\s*\}|(\d))")
_TEXT_POWER = re.compile(r"(\\text\s*\{[^{}]*)\^\{(-?\d)\}(?=[^{}]*\})")
_LOOSE = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
_SCIENTIFIC = re.compile(r"([-+]?\d+(?:\.\d+)?)[eE]([-+]?\d{1,4})")


def clean(text: str) -> str:
    """One spelling for an answer."""
    if not text.isascii():
        text = _MINUS.sub(lambda m: "^{-" + unicodedata.normalize("NFKC", m[1]) + "}", text)
        text = text.translate(_TABLE)
        text = _RUN.sub(lambda m: m[0][:2] + re.sub(r"\D", "", m[0]) + "}", text)
        text = _STYLED.sub(lambda m: unicodedata.normalize("NFKC", m[0]), text)
    text = _final.bare(text)
    if text.isdecimal() and text.isascii():
        return text
    text = text.replace("\\\\", ROW).replace(r"\$", r"\dollar ").replace("$", " ")
    text = text.strip().replace(r"\%", "%").replace(r"\left.", "").replace(r"\right.", "")
    if text.startswith("~"):
        text = r"\approx " + text[1:]
    text = _SPACED_DIGITS.sub(lambda m: m[0].replace(m["by"], ""), _POINT.sub(".", text))
    text = _BARE_SET.sub(lambda m: rf"\mathbb{{{m[1] or m[2]}}}", _DEGREE.sub(r"\\degree ", text))
    text = _FREE_CONSTANT.sub(r"\1\2", _CONSTANT_TEXT.sub(r"\1", text))
    text = _DOTTED.sub(lambda m: rf"{m[1]}\overline{{{m[2]}{m[3] or ''}{m[4] or ''}}}", text)
    text = _BAR.sub(lambda m: rf"{m[1]}\overline{{{m[2] or m[3]}}}", text)
    text = _PERIOD.sub(r"\1\\overline{\2}", text)
    text = _COMMAND.sub(lambda m: _COMMANDS.get(m[1], m[0]), text)
    text = _TEXT_POWER.sub(r"\1^\2", text)
    text = _FUNCTION_TEXT.sub(r"\\\1 ", text)
    text = text.replace(r"+\infty", r"\infty")
    return " ".join(_SPACES.sub(" ", text).split()).rstrip(",; ")


def key(cleaned: str) -> str:
    """The string by which two answers are literally the same."""
    return _LOOSE.sub("", cleaned)


def scientific(cleaned: str) -> str:
    """`5e-2` as a power of ten; for a reader who knows that the number e is not meant."""
    match = _SCIENTIFIC.fullmatch(cleaned)
    return rf"{match[1]}*10^{{{match[2]}}}" if match else cleaned
