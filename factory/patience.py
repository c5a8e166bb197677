"""What a refusal of the Hub means, and how long to go on after it.

The client repeats most requests by itself, a handful of times over seconds, but neither a commit
nor the creation of a repository; and it knows no pause as long as the one that a spent quota of
commits takes. This is the patience around it: announced pauses are kept, anything else that may
pass is tried again after pauses that double, and what no waiting heals ends at once, with advice.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
from huggingface_hub.utils import get_session, httpx, parse_ratelimit_headers

from factory.errors import PublishError

log = logging.getLogger(__name__)

T = TypeVar("T")

COMMIT_QUOTA = "rate limit for repository commits"
"""In the refusal's text, and nowhere else: no header says when the hour of the quota is over."""
LOST_CONTENT = "LFS pointer pointed to a file that does not exist"
"""In the refusal of a commit: what was uploaded long ago has been thrown away in the meantime."""
QUOTA_PAUSE = 600.0
"""Seconds; asking more often does not bring the end of the quota nearer."""
MAX_PAUSE = 64.0
"""Longest pause that was not announced, in seconds."""
MAX_FAILURES = 8
"""Unannounced failures of one step before it is given up."""
MAX_WAIT = 2 * 3600.0
"""Seconds of waiting before everything is given up."""
MAX_SILENCE = 300.0
"""Seconds without a byte before a connection is given up; the Hub works on a commit for 60."""
SIGNED = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*")
"""An address with a query: of a storage it holds a signature that lets anyone in for a while."""
REFUSALS = ("Invalid metadata", "LFS batch API returned errors")
"""How the client begins to tell what the Hub has against a card or a file."""
NONSENSE = (KeyError, TypeError, AttributeError)
"""How the client fails on a reply of the wrong shape: a proxy's, or half of one."""


def bound_waits() -> None:
    """Make the client's shared connections give up on silence: by itself it would wait forever.

    For every attempt anew, since the client replaces its connections after some failures.
    """
    get_session().timeout = httpx.Timeout(MAX_SILENCE, connect=min(60.0, MAX_SILENCE))


@dataclass(kw_only=True)
class Patience:
    """Repeats a step until it succeeds or there is no hope.

    One serves all steps of a publication: `MAX_WAIT` is the patience for all of them together.
    """

    sleep: Callable[[float], None]
    redact: Callable[[str], str]
    """Takes the token out of a text that came from outside."""
    waited: float = 0.0
    """Seconds, all pauses together."""

    def keep_trying(self, step: Callable[[], T]) -> T:
        """What the step returns, in the end.

        Args:
            step: calls the Hub; it finds out by itself what an earlier try has done already.

        Raises:
            PublishError: waiting does not help, or has not helped.
        """
        failures = 0
        while True:
            try:
                bound_waits()
                return step()
            except (httpx.HTTPError, OSError, RuntimeError, ValueError, *NONSENSE) as error:
                # A failed upload arrives wrapped; what decides is what went wrong inside.
                failure = (isinstance(error, RuntimeError) and error.__cause__) or error
                reason = self._reason(error, failure)
            if advice := _hopeless(failure):
                raise PublishError(f"{advice}: {reason}")
            pause = _announced_pause(failure)
            if pause is None:
                pause = min(2.0**failures, MAX_PAUSE)
                failures += 1
            if failures > MAX_FAILURES or self.waited + pause > MAX_WAIT:
                raise PublishError(
                    f"gave up after {self.waited:.0f} s of waiting; run the same command again "
                    f"later, what has been uploaded is not uploaded again: {reason}"
                )
            log.warning("waiting %.0f s before publishing goes on: %s", pause, reason)
            self.sleep(pause)
            self.waited += pause

    def _reason(self, error: BaseException, failure: BaseException) -> str:
        """What was said, in one line without secrets."""
        if isinstance(failure, NONSENSE):
            return f"a reply that the client cannot read ({failure!r})"
        text = ": ".join(str(e) or type(e).__name__ for e in dict.fromkeys([error, failure]))
        return SIGNED.sub(r"\1?...", self.redact(" ".join(text.split())))


def _status(error: BaseException) -> int | None:
    """The HTTP status of a refusal; the Xet client gives it in its text alone."""
    if isinstance(error, HfHubHTTPError):
        return int(error.response.status_code)
    told = re.search(r"HTTP status (?:client|server) error \((\d{3})", str(error))
    return int(told[1]) if told else None


def _hopeless(error: BaseException) -> str | None:
    """What to do about an error that no waiting heals; None for one that may pass."""
    status = _status(error)
    if LOST_CONTENT in str(error) or _is_of_storage(error):
        return None
    if status == 401:
        return (
            "the Hub token is invalid or has expired; set HF_TOKEN or run `hf auth login`, and run "
            "the same command again: what has been uploaded is not uploaded again"
        )
    if status == 403:
        return "the Hub refused (403); does the token have write access to the namespace?"
    # 409 and 412: another commit came first, or ours did and its reply was lost.
    if status is not None and status < 500 and status not in {408, 409, 412, 425, 429}:
        # A commit or branch that was just made may not be known everywhere yet.
        young = isinstance(error, RevisionNotFoundError)
        return None if young else f"the Hub refused ({status})"
    if isinstance(error, PermissionError):
        return "access was denied; check the Hub token and the files' permissions"
    if isinstance(error, OSError) and error.filename is not None:
        return "a file of the dataset folder cannot be read any more"
    # Other values that the client does not like are replies in disorder: a proxy's, or half of one.
    if isinstance(error, ValueError) and str(error).startswith(REFUSALS):
        return "the Hub refused the dataset"
    return None


def _is_of_storage(error: BaseException) -> bool:
    """Whether a storage refused an upload: its signed address has run out, and a new one helps."""
    return isinstance(error, HfHubHTTPError) and error.response.request.method == "PUT"


def _announced_pause(error: BaseException) -> float | None:
    """How long the Hub asks to wait, in seconds; None if it does not say."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers = error.response.headers
    if error.response.status_code == 429:
        if COMMIT_QUOTA in str(error):
            return QUOTA_PAUSE
        limit = parse_ratelimit_headers(headers)
        if limit is not None and limit.remaining == 0:
            return float(limit.reset_in_seconds + 1)
    seconds = headers.get("Retry-After", "")
    # Never nothing: pauses of 0 s would never come to the end of the patience.
    return max(1.0, float(seconds)) if seconds.isdecimal() else None
