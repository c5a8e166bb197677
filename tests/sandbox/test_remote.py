"""The tier elsewhere, against a service that really runs things and sometimes goes wrong."""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.errors import SandboxError
from factory.sandbox import fusion, open_sandbox
from factory.sandbox.box import Call, Command, Limits, Ran, Script
from factory.sandbox.remote import Remote
from tests.sandbox.fusion_double import Drip, FusionDouble, as_json

IDENTITY = "def same(x):\n    return x\n"


@pytest.fixture(scope="module")
def service() -> Iterator[FusionDouble]:
    with FusionDouble() as double:
        yield double


@pytest.fixture(scope="module")
def sandbox(service: FusionDouble) -> Iterator[Remote]:
    with open_sandbox("remote", service.url) as made:
        yield made


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, request):
    monkeypatch.setattr(fusion, "BACK_OFF_S", (0.0, 0.0))
    yield
    if "service" in request.fixturenames:
        request.getfixturevalue("service").faults.clear()


def run(sandbox: Remote, job: Any, **limits: Any) -> Ran:
    with sandbox.box(limits=Limits(**limits)) as box:
        return box.run(job)


# --- what a job does -----------------------------------------------------------------------------


def test_a_script_reads_bytes_and_writes_bytes(sandbox):
    source = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    ran = run(sandbox, Script(source=source, stdin=b"\0\xff\xfe\n"))
    assert ran.ok
    assert ran.stdout == b"\n\xfe\xff\0"


def test_output_that_is_no_text_and_longer_than_the_service_captures_comes_back_whole(sandbox):
    ran = run(sandbox, Script(source="import os; os.write(1, b'\\xff' * (3 << 20))"))
    assert (ran.ended, len(ran.stdout)) == ("output", 1 << 20)
    most = 4 << 20
    ran = run(
        sandbox, Script(source="import os; os.write(1, b'\\xff' * (3 << 20))"), output_bytes=most
    )
    assert ran.ok
    assert ran.stdout == b"\xff" * (3 << 20)


@pytest.mark.parametrize(
    ("source", "ended", "code"),
    [
        ("exit(3)", "exited", 3),
        ("raise SystemExit", "exited", 0),
        ("1 / 0", "exited", 1),
        ("import os; os.abort()", "signal", 6),
        ("import os; os.kill(os.getpid(), 9)", "signal", 9),
        ("while True: pass", "cpu", 24),
        ("import time; time.sleep(60)", "wall", 9),
        ("import sys\nwhile True: sys.stderr.write('y' * 9999)", "output", 120),
        ("x = bytearray(1 << 30)", "exited", 1),
        ("open('f', 'wb').truncate(1 << 40)", "exited", 1),
        ("L = [open('/dev/null') for _ in range(1000)]", "exited", 1),
        ("def f(:", "exited", 1),
        ("a = '\udc80'", "exited", 1),
        ("a = '\0'", "exited", 1),
    ],
)
def test_how_it_ended(sandbox, source, ended, code):
    wall_s = 1 if ended == "wall" else 20  # a busy machine gives a program little of its time
    ran = run(sandbox, Script(source=source), cpu_s=1, wall_s=wall_s, output_bytes=100_000)
    assert (ran.ended, ran.code) == (ended, code)
    assert ran.ok == (ended == "exited" and code == 0)


def test_files_are_laid_into_the_working_directory_and_one_is_fetched(sandbox):
    source = "open('out', 'wb').write(open('in', 'rb').read() * 2); print('not this')"
    ran = run(sandbox, Script(source=source, files={"in": b"\xff\0"}, output_file="out"))
    assert ran.stdout == b"\xff\0\xff\0"


@pytest.mark.parametrize(
    "source",
    [
        "pass",
        "import os; os.symlink('/etc/passwd', 'out')",
        "import os; os.mkfifo('out')",
        "import os; os.mkdir('out')",
    ],
)
def test_only_a_plain_file_is_fetched(sandbox, source):
    ran = run(sandbox, Script(source=source, output_file="out"))
    assert (ran.ok, ran.stdout) == (True, b"")


def test_nothing_of_the_service_is_in_the_environment(sandbox):
    ran = run(sandbox, Script(source="import os; print(dict(os.environ))"))
    assert ran.ok
    assert b"sesame" not in ran.stdout


def test_what_a_job_leaves_running_ends_with_it(sandbox):
    source = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "3141"])
        os._exit(0)
time.sleep(0.5)
print("done")
"""
    assert run(sandbox, Script(source=source)).stdout == b"done\n"
    seen = run(sandbox, Command(argv=["/bin/ps", "-eo", "args"])).stdout
    assert b"ps -eo" in seen
    assert b"sleep 3141" not in seen


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers() | st.text())
    ),
    max_leaves=20,
)


def exact(a: Any, b: Any) -> bool:
    """Equal in every type, with nan equal to nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(exact, a, b))
    if isinstance(a, dict):
        return exact(list(a.items()), list(b.items()))
    return a == b if isinstance(a, set) else repr(a) == repr(b)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(plain)
def test_a_plain_value_comes_back_as_it_went(sandbox, value):
    ran = run(sandbox, Call(source=IDENTITY, function="same", args=[value]))
    assert ran.ok
    assert len(ran.returned) == 1
    assert exact(ran.returned[0], value)


def test_a_method_is_called_on_a_fresh_object(sandbox):
    source = "class S:\n def add(self, a, *, b):\n  print(input())\n  return a + b"
    job = Call(source=source, function="S.add", args=[1], kwargs={"b": 2}, stdin=b"hi\n")
    ran = run(sandbox, job)
    assert (ran.returned, ran.stdout) == ((3,), b"hi\n")


@pytest.mark.parametrize(
    ("source", "raised"),
    [
        ("def f(): 1 / 0", "ZeroDivisionError"),
        ("def f(): exit(0)", "SystemExit"),
        ("import os\ndef f(): os._exit(0)", ""),
        ("g = 1", "AttributeError"),
        ("def f():\n    class I(int): __eq__ = lambda *_: True\n    return I(3)", "ValueError"),
        ("def f(): return iter([1])", "ValueError"),
        ("def f(x=[]):\n    x.append(x)\n    return x", "ValueError"),
        ("def f(): return [[]] * 2_000_000", "ValueError"),
        ("import os\ndef f():\n    os.write(3, b'value 3')\n    return 3", ""),
        ("import os\ndef f():\n    os.closerange(3, 99)\n    return 3", ""),
    ],
)
def test_a_call_that_does_not_return_a_plain_value_returns_none(sandbox, source, raised):
    source = source.replace("os.write(3", "os.write(RECORD")
    prelude = "import os\nRECORD = max(map(int, os.listdir('/proc/self/fd')))\n"
    ran = run(sandbox, Call(source=prelude + source, function="f"))
    assert ran.returned == ()
    assert ran.raised == raised


def test_a_program_is_compiled_by_the_compiler_and_kept_in_the_box(sandbox):
    source = b"#include <iostream>\nint main() { long a; std::cin >> a; std::cout << a + 1; }"
    limits = Limits(cpu_s=30, wall_s=60, memory_mb=4096)
    with sandbox.box() as box:
        compiled = box.run(
            Command(
                argv=["/usr/bin/g++", "-O1", "-o", "main", "main.cpp"],
                files={"main.cpp": source},
                keep=True,
            ),
            limits=limits,
        )
        assert compiled.ok, compiled.stderr
        for number in (1, 41):
            ran = box.run(Command(argv=["/box/main"], stdin=b"%d" % number))
            assert ran.stdout == b"%d" % (number + 1)
        bad = box.run(
            Command(argv=["/usr/bin/g++", "x.cpp"], files={"x.cpp": b"?"}, keep=True),
            limits=limits,
        )
        assert not bad.ok


def test_what_it_cannot_do_it_says(sandbox):
    with sandbox.box(files={"data": b"1"}) as box:
        assert box.run(Command(argv=["/bin/cat", "/box/data"])).stdout == b"1"
        with pytest.raises(SandboxError, match="no /box for Python programs"):
            box.run(Script(source="pass"))
    with pytest.raises(SandboxError, match="closed"):
        box.run(Command(argv=["/bin/true"]))
    with sandbox.box() as box:
        with pytest.raises(SandboxError, match="channel"):
            box.start(Script(source="pass"), channel=3)
        with pytest.raises(SandboxError, match="could not start the job: FileNotFoundError"):
            box.run(Command(argv=["/usr/bin/coqc-that-is-not-there"]))
        with pytest.raises(ValueError, match="not a plain value"):
            box.run(Call(source="f = print", function="f", args=[object()]))
        with pytest.raises(SandboxError, match="loses files"):
            box.run(Script(source="pass", files={"IGNORE_THIS_FILE": b""}))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/x", "a\0", "../up"])
def test_names_that_are_not_plain_are_refused(sandbox, name):
    with sandbox.box() as box:
        with pytest.raises(ValueError, match="a plain name"):
            box.run(Script(source="pass", output_file=name))
        with pytest.raises(ValueError, match="a plain name"):
            box.run(Script(source="pass", files={name: b""}))


@pytest.mark.parametrize("name", ["a b", "ä", "-x", "a\n", "x" * 200])
def test_all_others_are_taken(sandbox, name):
    ran = run(sandbox, Script(source="pass", files={name: b"1"}, output_file=name))
    assert ran.stdout == b"1"


def test_a_module_that_the_service_lacks_is_no_matter_of_the_candidate(sandbox):
    with pytest.raises(SandboxError, match="No module named 'never_there'"):
        sandbox.box(preload=["never_there"])
    with sandbox.box(preload=["json"]) as box:
        assert box.run(Script(source="import numpy")).ok
    with sandbox.box() as box:
        assert box.run(Script(source="import numpy")).code == 1


# --- what goes wrong on the way ------------------------------------------------------------------


def status(number: int, **headers: str) -> Any:
    return lambda double, request: (number, headers, b"{}")


def body(data: bytes) -> Any:
    return lambda double, request: (200, {}, data)


def changed(**fields: Any) -> Any:
    """A good answer with some fields replaced."""
    return lambda double, request: as_json({**double.run(request), **fields})


def reported(**fields: Any) -> Any:
    """A good answer whose report has some fields replaced."""

    def fault(double: FusionDouble, request: dict[str, Any]) -> Any:
        answer = double.run(request)
        report = json.loads(base64.b64decode(answer["files"]["report.json"])) | fields
        answer["files"]["report.json"] = base64.b64encode(json.dumps(report).encode()).decode()
        return as_json(answer)

    return fault


def truncated(double: FusionDouble, request: dict[str, Any]) -> Any:
    number, headers, data = double.answer(request)
    return number, headers, data[:-20]


def broken_off(double: FusionDouble, request: dict[str, Any]) -> Any:
    number, headers, data = double.answer(request)
    return number, {**headers, "Content-Length": str(len(data) + 5), "Connection": "close"}, data


PASSING = {
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "429": status(429),
    "drop": lambda double, request: None,
    "truncated": truncated,
    "empty": body(b""),
    "html": body(b"<html>Bad gateway</html>"),
    "invalid UTF-8": body(b'{"status": "\xff"}'),
    "deep": body(b"[" * 200_000),
    "a list": body(b"[]"),
    "null": body(b"null"),
    "no status": body(b"{}"),
    "other status": changed(status="Fine"),
    "status of a wrong type": changed(status=1),
    "sandbox error": changed(status="SandboxError", message="disk full"),
    "files of a wrong type": changed(files=["report.json"]),
    "no files": changed(files={}),
    "files of numbers": changed(files={"report.json": 7}),
    "no base64": changed(files={"report.json": "?"}),
    "no report": changed(files={"report.json": base64.b64encode(b"{}").decode()}),
    "report is text": changed(files={"report.json": base64.b64encode(b"ok").decode()}),
    "killed launcher": changed(
        files={}, status="Failed", run_result={"status": "Finished", "return_code": -9}
    ),
    "stopped launcher": changed(
        files={}, status="Failed", run_result={"status": "TimeLimitExceeded"}
    ),
    "wrong run_result": changed(run_result=[1]),
    "another key": reported(key="0" * 16),
    "no key": reported(key=None),
    "ended otherwise": reported(ended="accepted"),
    "code is text": reported(code="0"),
    "code is true": reported(code=True),
    "code below zero": reported(code=-1),
    "stdout is no base64": reported(stdout="%%%"),
    "stdout is a list": reported(stdout=[1]),
    "time below zero": reported(cpu_s=-1.0),
    "time is nan": reported(wall_s=math.nan),
    "kept is a list": reported(kept=[]),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_an_error(sandbox, service, fault):
    service.faults[:] = [fault] * 2
    assert run(sandbox, Script(source="print(1)")).stdout == b"1\n"
    service.requests.clear()
    service.faults[:] = [fault] * 3
    with pytest.raises(SandboxError, match=r"127\.0\.0\.1:\d+: .*\(attempts: 3\)"):
        run(sandbox, Script(source="print(1)"))
    assert len(service.requests) == 3


@pytest.mark.parametrize("number", [301, 307, 400, 401, 403, 404, 405, 413, 422])
def test_a_refusal_is_not_repeated(sandbox, service, number):
    service.requests.clear()
    service.faults[:] = [status(number, Location="http://127.0.0.1:1/run_code")]
    with pytest.raises(SandboxError, match=f"HTTP status {number}"):
        run(sandbox, Script(source="print(1)"))
    assert len(service.requests) == 1


def test_a_report_without_an_end_says_that_the_job_did_not_start(sandbox, service):
    service.faults[:] = [reported(ended=None)]
    with pytest.raises(SandboxError, match="could not start the job: it does not say why"):
        run(sandbox, Script(source="print(1)"))


def test_what_a_report_says_is_cut_to_the_limits_here_too(sandbox, service):
    service.faults[:] = [reported(stdout=base64.b64encode(b"x" * 2000).decode())]
    ran = run(sandbox, Script(source="print(1)"), output_bytes=1000)
    assert (ran.ended, ran.ok, ran.stdout) == ("output", False, b"x" * 1000)


def test_files_of_hostile_names_do_not_enter_the_box(sandbox, service):
    with sandbox.box() as box:
        text = base64.b64encode(b"x").decode()
        service.faults[:] = [reported(kept={"../up": text, "good": text})]
        box.run(Command(argv=["/bin/true"], keep=True))
        assert box.run(Command(argv=["/bin/ls", "/box"])).stdout == b"good\n"


@pytest.mark.parametrize("size", [1 << 16, 80 << 20])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(sandbox, service, size):
    service.faults[:] = [body(b" " * size)] * 3
    why = "not SandboxFusion's" if size < 1 << 20 else "more than"
    with pytest.raises(SandboxError, match=why):
        run(sandbox, Script(source="print(1)"), scratch_mb=1, output_bytes=1000)


def hang(double: FusionDouble, request: dict[str, Any]) -> Any:
    double.hung.wait(60)


def drip(double: FusionDouble, request: dict[str, Any]) -> Any:
    number, headers, data = double.answer(request)
    return number, headers, Drip(data)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(fusion, "START_S", 0.3)
    monkeypatch.setattr(fusion, "QUEUE_S", 0.2)
    monkeypatch.setattr(fusion, "PATIENCE_S", 0.1)


class NeverDue(threading.Timer):
    """The clock of a machine so busy that the socket's own limit comes first."""

    def __init__(self, interval: float, function: Any, args: Any) -> None:
        super().__init__(60, function, args)


# Each drop of the third comes within the socket's limit: only the clock ends that.
@pytest.mark.parametrize(
    ("fault", "clock"), [(hang, threading.Timer), (hang, NeverDue), (drip, threading.Timer)]
)
def test_a_service_that_takes_too_long_is_left(
    service, sandbox, impatient, monkeypatch, fault, clock
):
    monkeypatch.setattr(fusion.threading, "Timer", clock)
    service.faults[:] = [fault] * 9
    with pytest.raises(SandboxError, match=r"no answer, 1 s were up \(attempts: 1\)"):
        run(sandbox, Script(source="print(1)"), wall_s=0.5)


def test_a_slow_service_is_waited_for(service, sandbox):
    def slow(double: FusionDouble, request: dict[str, Any]) -> Any:
        time.sleep(0.5)
        return double.answer(request)

    service.faults[:] = [slow]
    assert run(sandbox, Script(source="print(1)"), wall_s=0.2).ok


def test_nobody_listens():
    with FusionDouble() as double:
        url = double.url
    with (
        pytest.raises(SandboxError, match=r"no answer \(ConnectionRefusedError\)"),
        open_sandbox("remote", url),
    ):
        pass


def test_a_service_that_runs_something_else_is_found_out_at_the_start(service):
    def liar(double: FusionDouble, request: dict[str, Any]) -> Any:
        request["files"]["args"] = base64.b64encode(b'[[7],{"d":[]}]').decode()
        return double.answer(request)

    service.faults[:] = [liar]
    with (
        pytest.raises(SandboxError, match="another value came back"),
        open_sandbox("remote", service.url),
    ):
        pass


# --- its address ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/",
        "host:80",
        "http://",
        "http://host:99999/",
        "http://[::1/",
        "http://me:sesame@host/",
        "http://host/?token=sesame",
        "http://host/a b",
        "http://ho st/",
        "http://host/\r\nX: y",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated_in_full(url):
    with pytest.raises(SandboxError, match=r"sandbox\.url must be http") as caught:
        Remote(url)
    assert "sesame" not in str(caught.value)


def test_a_secret_in_the_path_is_used_but_never_told(service):
    with open_sandbox("remote", service.url + "/sesame/") as sandbox:
        assert service.paths[-1] == "/sesame/run_code"
        service.faults[:] = [status(500)] * 3
        with pytest.raises(SandboxError) as caught:
            run(sandbox, Script(source="print(1)"))
    assert "sesame" not in str(caught.value)


def test_it_says_where_it_is(sandbox, service):
    host = service.url.removeprefix("http://")
    assert sandbox.describe() == f"remote (the sandbox service at {host})"


def test_an_address_is_asked_for():
    with pytest.raises(SandboxError, match="SandboxFusion address"), open_sandbox("remote"):
        pass
