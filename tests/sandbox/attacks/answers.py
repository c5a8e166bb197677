"""Functions whose return value means harm: to whoever compares it, or to the way back."""

from __future__ import annotations

from dataclasses import replace

from tests.sandbox.attacks import HASTY, TIGHT, Attack

_EXACT = "only values of exactly the plain types come back"
_FORGED = "a record of the candidate's own making is no more than a value, and two are none"
_HOST = "no value harms the host"

_NOT_PLAIN = [
    ("always-equal", """
class Any:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(): return Any()
"""),
    ("int-subclass", """
class I(int):
    def __eq__(self, other): return True
def f(): return I(3)
"""),
    ("str-subclass", """
class S(str):
    def strip(self): return "right"
    def __eq__(self, other): return True
def f(): return S("wrong")
"""),
    ("float-subclass", "class F(float): pass\ndef f(): return F(1.5)"),
    ("list-subclass", "class L(list):\n def __iter__(self): return iter([7])\n"
     "def f(): return L([1])"),
    ("tuple-subclass", "from collections import namedtuple\nP = namedtuple('P', 'x')\n"
     "def f(): return P(1)"),
    ("dict-subclass", "from collections import defaultdict\ndef f(): return defaultdict(int)"),
    ("inside-a-list", "class I(int): pass\ndef f(): return [1, [2, (I(3),)]]"),
    ("as-a-key", "class S(str): pass\ndef f(): return {S('a'): 1}"),
    ("bool-like", "import enum\nclass E(enum.IntEnum):\n A = 1\ndef f(): return E.A"),
    ("class-lie", """
class L:
    __class__ = int
    def __eq__(self, other): return True
def f(): return L()
"""),
    ("bytes", "def f(): return b'x'"),
    ("complex", "def f(): return 1j"),
    ("range", "def f(): return range(3)"),
    ("generator", "def f(): yield 1"),
    ("iterator", "def f(): return iter([1])"),
    ("function", "def f(): return f"),
    ("class", "class A: pass\ndef f(): return A"),
    ("module", "import os\ndef f(): return os"),
    ("ellipsis", "def f(): return ..."),
    ("not-implemented", "def f(): return NotImplemented"),
    ("coroutine", "async def f(): return 1"),
    ("pickled", """
class P:
    def __reduce__(self): return (print, ("BROKEN",))
def f(): return P()
"""),
    ("decimal", "from decimal import Decimal\ndef f(): return Decimal(1)"),
    ("cyclic-list", "def f(x=[]):\n x.append(x)\n return x"),
    ("cyclic-dict", "def f(x={}):\n x[1] = x\n return x"),
    ("deep", "def f():\n x = 1\n for _ in range(10**5): x = [x]\n return x"),
    ("deep-dict", "def f():\n x = 1\n for _ in range(500): x = {1: x}\n return x"),
    ("many", "def f(): return [0] * 5_000_000"),
    ("long", "def f(): return 'x' * (100 << 20)"),
    ("repeated", """
def f():
    x = [0]
    for _ in range(40): x = [x, x]
    return x
"""),
    ("growing-while-read", """
class L(list): pass
def f():
    d = {}
    for n in range(3_000_000): d[n] = n
    return d
"""),
]  # fmt: skip
ATTACKS = [
    Attack(
        id=f"value-{name}",
        aim=_EXACT,
        source=source,
        function="f",
        ends=("exited", "cpu", "wall", "signal"),
        says=b"",
        fails=True,
    )
    for name, source in _NOT_PLAIN
]

_NO_RETURN = [
    ("exit", "def f(): exit(0)"),
    ("system-exit", "def f(): raise SystemExit(0)"),
    ("hard-exit", "import os\ndef f(): os._exit(0)"),
    ("exit-at-import", "raise SystemExit(0)\ndef f(): return 1"),
    ("hard-exit-at-import", "import os\nos._exit(0)"),
    ("interrupt", "def f(): raise KeyboardInterrupt"),
    ("skip", "import unittest\ndef f(): raise unittest.SkipTest"),
    ("odd-exception", """
class E(BaseException):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
def f(): raise E
"""),
    ("exception-with-a-name", """
E = type("\\udcff\\0\\n" * 300, (BaseException,), {})
def f(): raise E
"""),
    ("kill-oneself", "import os\ndef f(): os.kill(os.getpid(), 9)"),
    ("no-function", "g = 1"),
    ("not-callable", "f = 3"),
    ("wrong-arguments", "def f(x): return x"),
    ("closes-everything", "import os\ndef f():\n os.closerange(3, 200)\n return 1"),
    ("raises-at-the-end", "import atexit, os\natexit.register(os._exit, 3)\ndef f(): return 1"),
    ("excepthook", "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef f(): 1 / 0"),
    ("never-returns", "def f():\n while True: pass"),
    ("thread-keeps-running", """
import threading, time
def f():
    threading.Thread(target=time.sleep, args=(999,)).start()
    return 1
"""),
]  # fmt: skip
ATTACKS += [
    Attack(
        id=f"return-{name}",
        aim="without a return there is no value, whatever the exit code",
        source=source,
        function="f",
        ends=("exited", "signal", "cpu", "wall"),
        says=b"",
        limits=HASTY,
    )
    for name, source in _NO_RETURN
]

_FORGE = '''
import gc, os, sys
def record():
    """Find the descriptor of the record, and what it has to begin with."""
    nonce = b""
    frame = sys._getframe()
    while frame:
        for thing in list(frame.f_locals.values()):
            if type(thing) is dict and "nonce" in thing:
                nonce = thing["nonce"].encode()
            if type(thing) is bytes and len(thing) == 32:
                nonce = thing
        frame = frame.f_back
    return nonce
'''
ATTACKS += [
    Attack(id=f"forge-{name}", aim=_FORGED, source=_FORGE + source, function="f",
           ends=("exited", "signal"), says=b"", returns=returns)
    for name, source, returns in (
        ("and-exit", "def f():\n os.write(3, record() + b'V7'); os._exit(0)", (7,)),
        ("and-return", "def f():\n os.write(3, record() + b'V7')\n return 8", ()),
        ("twice", "def f():\n os.write(3, record() + b'V7' + record() + b'V8'); os._exit(0)", ()),
        ("without-nonce", "def f():\n os.write(3, b'V7'); os._exit(0)", ()),
        ("wrong-nonce", "def f():\n os.write(3, b'0' * 32 + b'V7'); os._exit(0)", ()),
        ("nothing", "def f():\n os._exit(0)", ()),
        ("after-the-end", """
import threading, time
def late():
    time.sleep(0.2); os.write(3, record() + b'V7')
def f():
    threading.Thread(target=late, daemon=True).start()
    raise ValueError
""", ()),
        ("truncated-and-again", "def f():\n os.ftruncate(3, 0)\n return 8", (8,)),
        ("sparse", "def f():\n os.lseek(3, 1 << 20, 0)\n return 8", ()),
        ("trailing", "def f():\n os.write(3, record() + b'V7 8'); os._exit(0)", ()),
        ("bare-float", "def f():\n os.write(3, record() + b'V7.5'); os._exit(0)", ()),
        ("nan", "def f():\n os.write(3, record() + b'VNaN'); os._exit(0)", ()),
        ("unknown-tag", "def f():\n os.write(3, record() + b'V{\"q\":[]}'); os._exit(0)", ()),
        ("two-tags", "def f():\n os.write(3, record() + b'V{\"t\":[],\"s\":[]}'); os._exit(0)", ()),
        ("unhashable", "def f():\n os.write(3, record() + b'V{\"s\":[[1]]}'); os._exit(0)", ()),
        ("bad-pair", "def f():\n os.write(3, record() + b'V{\"d\":[[1]]}'); os._exit(0)", ()),
        ("bad-hex", "def f():\n os.write(3, record() + b'V{\"f\":\"zz\"}'); os._exit(0)", ()),
        ("float-too-large", "def f():\n os.write(3, record() + b'V{\"f\":\"0x1p99999\"}')\n"
         " os._exit(0)", ()),
        ("not-utf8", "def f():\n os.write(3, record() + b'V\"\\xff\"'); os._exit(0)", ()),
        ("deep", "def f():\n os.write(3, record() + b'V' + b'[' * 10**6); os._exit(0)", ()),
        ("deep-and-closed", "def f():\n os.write(3, record() + b'V' + b'['*9999 + b']'*9999)\n"
         " os._exit(0)", ()),
        ("long-number", "def f():\n os.write(3, record() + b'V' + b'9' * 10**6); os._exit(0)", ()),
        ("raised-and-fine", "def f():\n os.write(3, record() + b'RValueError'); os._exit(0)", ()),
        ("many-nodes", "def f():\n os.write(3, record()+b'V['+b'0,'*3000000+b'0]'); os._exit(0)",
         ()),
    )
]  # fmt: skip

ATTACKS += [
    Attack(
        id=f"encoder-{name}",
        aim="breaking what writes the record gives no other value than returning one",
        source=source,
        function="f",
        ends=("exited", "signal", "cpu"),
        says=b"",
        returns=returns,
    )
    for name, source, returns in (
        ("json", "import json\njson.dumps = lambda *a, **k: '7'\ndef f(): return 8", (7,)),
        ("type", "import builtins\nbuiltins.type = lambda x: int\ndef f(): return 8", (8,)),
        (
            "import-hook",
            """
import builtins, sys
def broken(*args, **kwargs): raise ImportError
builtins.__import__ = broken
sys.meta_path.clear(); sys.path_hooks.clear(); sys.modules.clear()
def f(): return 8
""",
            (8,),
        ),
        (
            "open",
            "import builtins, os, io\nbuiltins.open = os.fdopen = None\ndef f(): return 8",
            (),
        ),
        (
            "trace",
            """
import sys
def tracer(frame, event, arg):
    if "value" in frame.f_locals: frame.f_locals["value"] = 7
    return tracer
sys.settrace(tracer)
def f(): return 8
""",
            (7,),
        ),
        ("profile", "import sys\nsys.setprofile(lambda *a: exit(0))\ndef f(): return 8", ()),
        ("exit-in-finally", "import os\nos._exit = lambda code: None\ndef f(): return 8", ()),
        (
            "frames",
            """
import sys
def f():
    frame = sys._getframe()
    while frame:
        for name in list(frame.f_globals):
            if name in ("encode", "values", "_RECORD_FD"):
                frame.f_globals[name] = None
        frame = frame.f_back
    return 8
""",
            (8,),
        ),
    )
]

ATTACKS += [
    Attack(
        id=f"plain-{name}",
        aim="what is plain comes back exactly, however odd",
        source=source,
        function="f",
        says=b"",
        returns=returns,
        limits=replace(TIGHT, cpu_s=3),
    )
    for name, source, returns in (
        ("nan", "def f(): return float('nan')", (float("nan"),)),
        ("infinity", "def f(): return -float('inf')", (-float("inf"),)),
        ("minus-zero", "def f(): return -0.0", (-0.0,)),
        ("true-is-not-one", "def f(): return [True, 1, 1.0]", ([True, 1, 1.0],)),
        ("surrogate", "def f(): return '\\ud800'", ("\ud800",)),
        ("nul", "def f(): return '\\0'", ("\0",)),
        ("tuple-in-list", "def f(): return [(1,), [1]]", ([(1,), [1]],)),
        (
            "keys-of-all-kinds",
            "def f(): return {(1, 2): {None: {1.5}}}",
            ({(1, 2): {None: {1.5}}},),
        ),
        ("frozen", "def f(): return frozenset({1})", (frozenset({1}),)),
        ("looks-like-a-tag", "def f(): return {'t': [1]}", ({"t": [1]},)),
        ("large-number", "def f(): return 10**4000", (10**4000,)),
    )
]
