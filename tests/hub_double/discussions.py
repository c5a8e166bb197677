"""Pull requests: what is said about them. Their commits go the way of all commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.hub_double.replies import Reply, refusal
from tests.hub_double.store import PullRequest

if TYPE_CHECKING:
    from tests.hub_double.calls import Call


def details(repo: str, request: PullRequest) -> dict[str, Any]:
    return {
        "num": request.number,
        "title": request.title,
        "author": {"name": request.author},
        "status": request.status,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "isPullRequest": True,
        "repo": {"name": repo, "type": "dataset"},
        "changes": {"base": "refs/heads/main"},
        "filesWithConflicts": [],
        "events": [],
    }


def list_discussions(call: Call, repo: str) -> None:
    found = [
        details(repo, request)
        for request in call.repository(repo).requests
        if request.author == call.query.get("author", request.author)
    ]
    start = int(call.query.get("p", 0)) * call.hub.page_size
    page = found[start : start + call.hub.page_size]
    raise Reply(200, {"discussions": page, "count": len(found), "start": start})


def open_discussion(call: Call, repo: str) -> None:
    repository = call.repository(repo)
    call.may_write(call.user or "")
    if not call.json.get("pullRequest"):
        raise refusal(400, "the double holds pull requests only")
    number = len(repository.requests) + 1
    made = PullRequest(number=number, title=call.json["title"], author=call.user or "")
    repository.requests.append(made)
    repository.branches[f"refs/pr/{number}"] = repository.branches["main"]
    raise Reply(200, {"num": number, "pullRequest": True})


def show_discussion(call: Call, repo: str, number: str) -> None:
    raise Reply(200, details(repo, call.repository(repo).requests[int(number) - 1]))


def set_status(call: Call, repo: str, number: str) -> None:
    request = call.repository(repo, write=True, revision=f"refs/pr/{number}").requests[
        int(number) - 1
    ]
    request.status = call.json["status"]
    event = {"id": "1", "type": "status-change", "createdAt": "2026-01-01T00:00:00.000Z"}
    event |= {"author": {"name": call.user}, "data": {"status": request.status}}
    raise Reply(200, {"newStatus": event})
