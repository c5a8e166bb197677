"""What each request does: one method for each endpoint, and the table of them at the end."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.hub_double import discussions
from tests.hub_double.listing import list_tree, sibling_details
from tests.hub_double.replies import Reply, refusal
from tests.hub_double.store import (
    LARGE_SUFFIXES,
    Commit,
    Conflict,
    Entry,
    Repository,
)

if TYPE_CHECKING:
    from tests.hub_double.server import HubDouble

LARGE_SIZE = 10_000_000
"""A file of this size or more is stored apart whatever its name."""


class Call:
    """One request, by the time it is known who asks; every handler ends in a `Reply`."""

    def __init__(
        self,
        hub: HubDouble,
        method: str,
        token: str | None,
        query: dict[str, str],
        body: bytes,
        headers: Any,
    ) -> None:
        self.hub, self.method, self.token = hub, method, token
        self.query, self.body, self.headers = query, body, headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def user(self) -> str | None:
        return self.hub.users.get(self.token or "")

    def authenticate(self) -> None:
        if self.token is not None and self.user is None:
            raise refusal(401, "Invalid credentials in Authorization header")

    def repository(self, repo: str, *, write: bool = False, revision: str = "") -> Repository:
        found = self.hub.repositories.get(repo)
        owner = repo.partition("/")[0]
        if found is None or (found.private and self.user != owner):
            # Who is not logged in learns nothing about what exists.
            raise refusal(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write:
            # The branch of a pull request is its author's.
            ours = [f"refs/pr/{r.number}" for r in found.requests if r.author == self.user]
            self.may_write(self.user or "" if revision in ours else owner)
        return found

    def may_write(self, owner: str) -> None:
        if self.user is None:
            raise refusal(401, "Invalid username or password.")
        if self.user != owner or self.token in self.hub.readers:
            raise refusal(403, f"You don't have the rights to write to {owner}")

    def commit_of(self, repo: str, revision: str) -> tuple[Repository, Commit]:
        repository = self.repository(repo)
        commit = repository.resolve(revision or "main")
        if commit is None:
            raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit

    def whoami(self) -> None:
        if self.user is None:
            raise refusal(401, "Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"role": "write"}}
        raise Reply(
            200,
            {"type": "user", "name": self.user, "fullname": self.user, "orgs": [], "auth": auth},
        )

    def create_repo(self) -> None:
        owner = self.json.get("organization") or self.user or ""
        self.may_write(owner)
        repo = f"{owner}/{self.json['name']}"
        url = f"{self.hub.url}/datasets/{repo}"
        if self.json.get("type") != "dataset":
            raise refusal(400, "the double holds datasets only")
        if repo in self.hub.repositories:
            message = "You already created this dataset repo"
            raise Reply(409, {"error": message, "url": url}, {"X-Error-Message": message})
        self.hub.create(repo, private=self.json.get("visibility") == "private")
        raise Reply(200, {"url": url, "name": repo, "id": repo})

    def validate_card(self) -> None:
        content = self.json["content"]
        header = re.match(r"---\n(.*?)\n---(\n|$)", content, re.DOTALL)
        if header and re.search(r"^license: *\[", header[1], re.MULTILINE):
            errors = [{"message": '"license" must be a string'}]
            raise Reply(400, {"error": "Invalid metadata", "errors": errors, "warnings": []})
        raise Reply(200, {"errors": [], "warnings": []})

    def repo_info(self, repo: str, revision: str) -> None:
        repository, commit = self.commit_of(repo, revision)
        date = "2026-01-01T00:00:00.000Z"
        siblings = [
            {"rfilename": path, **(sibling_details(entry) if "blobs" in self.query else {})}
            for path, entry in sorted(commit.files.items())
        ]
        info = {"sha": commit.oid, "private": repository.private, "siblings": siblings}
        info |= {"lastModified": date, "createdAt": date, "gated": False, "disabled": False}
        if expand := self.query.get("expand"):
            info = {name: info[name] for name in expand.split(",")}
        raise Reply(200, {"_id": repo, "id": repo, "tags": [], **info})

    def refs(self, repo: str) -> None:
        repository = self.repository(repo)
        requests = {n: oid for n, oid in repository.branches.items() if n.startswith("refs/pr/")}
        branches = {n: oid for n, oid in repository.branches.items() if n not in requests}
        kinds = {"branches": ("heads/", branches), "tags": ("tags/", repository.tags)}
        if "include_prs" in self.query:
            kinds["pullRequests"] = ("", requests)
        listing = {
            kind: [
                {
                    "name": name,
                    "ref": f"refs/{folder}{name}" if folder else name,
                    "targetCommit": oid,
                }
                for name, oid in sorted(names.items())
            ]
            for kind, (folder, names) in kinds.items()
        }
        raise Reply(200, {**listing, "converts": []})

    def create_branch(self, repo: str, name: str) -> None:
        repository = self.repository(repo, write=True)
        if name in repository.branches:
            raise refusal(409, f"Reference already exists: {name}")
        start = (self.json if self.body else {}).get("startingPoint") or "main"
        repository.branches[name] = self.commit_of(repo, start)[1].oid
        raise Reply(200)

    def create_tag(self, repo: str, revision: str) -> None:
        repository = self.repository(repo, write=True)
        if self.json["tag"] in repository.tags:
            raise refusal(409, f"Tag reference exists already: {self.json['tag']}")
        repository.tags[self.json["tag"]] = self.commit_of(repo, revision)[1].oid
        raise Reply(200)

    def commits(self, repo: str, revision: str) -> None:
        repository, commit = self.commit_of(repo, revision)
        history = [
            {
                "id": made.oid,
                "title": made.title,
                "message": "",
                "date": "2026-01-01T00:00:00.000Z",
                "authors": [{"user": made.author}],
            }
            for made in repository.history(commit.oid)
        ]
        raise Reply(200, history)

    def tree(self, repo: str, revision: str, folder: str) -> None:
        _, commit = self.commit_of(repo, revision)
        recursive = self.query.get("recursive", "false").lower() in ("true", "1")
        listing = list_tree(commit, folder.strip("/"), recursive=recursive)
        if folder and not listing:
            raise refusal(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        start = int(self.query.get("cursor", 0))
        end = start + self.hub.page_size
        headers = {}
        if end < len(listing):
            place = f"{self.hub.url}/api/datasets/{repo}/tree/{revision}/{folder}".rstrip("/")
            link = f"{place}?recursive={recursive}&cursor={end}"
            headers["Link"] = f'<{link}>; rel="next"'
        raise Reply(200, listing[start:end], headers)

    def paths_info(self, repo: str, revision: str) -> None:
        _, commit = self.commit_of(repo, revision)
        if (self.headers.get("Content-Type") or "").startswith("application/json"):
            paths = self.json["paths"]
        else:
            paths = parse_qs(self.body.decode()).get("paths", [])
        every = {item["path"]: item for item in list_tree(commit, "", recursive=True)}
        raise Reply(200, [every[path] for path in paths if path in every])

    def preupload(self, repo: str, revision: str) -> None:
        self.repository(repo, write=True, revision=revision)
        _, commit = self.commit_of(repo, revision)
        ignored = commit.files.get(".gitignore")
        patterns = self.hub.contents.read(ignored).decode().split() if ignored else []
        files = []
        for file in self.json["files"]:
            large = file["path"].endswith(LARGE_SUFFIXES) or file["size"] >= LARGE_SIZE
            item = {"path": file["path"], "uploadMode": "lfs" if large else "regular"}
            item["shouldIgnore"] = any(fnmatch(file["path"], pattern) for pattern in patterns)
            if there := commit.files.get(file["path"]):
                item["oid"] = there.sha256 or there.oid
            files.append(item)
        raise Reply(200, {"files": files})

    def lfs_batch(self, repo: str) -> None:
        self.repository(repo, write=True, revision=self.json.get("ref", {}).get("name", ""))
        objects = []
        for item in self.json["objects"]:
            place = f"{self.hub.url}/lfs/{item['oid']}"
            actions: dict[str, Any] = {"upload": {"href": place}}
            actions["verify"] = {"href": f"{place}/verify"}
            if size := self.hub.part_size:
                header = {
                    str(n + 1): f"{place}/part/{n}?signature=s3cret"
                    for n in range(-(-item["size"] // size))
                }
                actions["upload"]["header"] = {"chunk_size": str(size), **header}
            here = self.hub.contents.has(item["oid"])
            objects.append({**item, **({} if here else {"actions": actions})})
        transfer = "multipart" if self.hub.part_size else "basic"
        raise Reply(200, {"transfer": transfer, "objects": objects})

    def lfs_put(self, sha256: str) -> None:
        self.store(sha256, self.body)
        raise Reply(200)

    def store(self, sha256: str, content: bytes) -> None:
        if self.hub.contents.has(sha256):
            self.hub.sent_again += len(content)
        try:
            self.hub.contents.put_large(sha256, content)
        except ValueError as error:
            raise refusal(400, str(error)) from None

    def lfs_part(self, sha256: str, number: str) -> None:
        if self.hub.contents.has(sha256):
            self.hub.sent_again += len(self.body)
        self.hub.parts[sha256, int(number)] = self.body
        raise Reply(200, headers={"ETag": f"{sha256[:8]}-{number}"})

    def lfs_complete(self, sha256: str) -> None:
        parts = [self.hub.parts.get((sha256, n)) for n in range(len(self.json["parts"]))]
        if not self.hub.contents.has(sha256):
            self.store(sha256, b"".join(part or b"" for part in parts))
        raise Reply(200)

    def lfs_verify(self, sha256: str) -> None:
        raise Reply(200 if self.hub.contents.has(sha256) else 404)

    def xet_token(self, repo: str, kind: str, revision: str) -> None:
        if not self.hub.xet:
            raise refusal(404, "Xet is not enabled")
        self.repository(repo, write=kind == "write", revision=revision)
        address, expiry = self.hub.store_of(self.token or "anyone").address, int(time.time()) + 3600
        headers = {
            "X-Xet-Cas-Url": address,
            "X-Xet-Access-Token": "xet-access",
            "X-Xet-Token-Expiration": str(expiry),
        }
        body = {"casUrl": address, "accessToken": "xet-access", "exp": expiry}
        raise Reply(200, body, headers)

    def commit(self, repo: str, branch: str) -> None:
        repository = self.repository(repo, write=True, revision=branch)
        if branch not in repository.branches:
            raise refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        add: dict[str, Entry] = {}
        delete: list[str] = []
        for line in lines:
            self.collect(line["key"], line["value"], add, delete)
        try:
            made = repository.commit(
                add,
                delete,
                branch=branch,
                parent=header.get("parentCommit"),
                title=header["summary"],
                author=self.user or "",
            )
        except Conflict:
            message = "A commit has happened since. Please refresh and try again."
            raise refusal(412, message) from None
        except KeyError as error:
            message = f"A file with this name doesn't exist: {error}"
            raise refusal(404, message, "EntryNotFound") from None
        url = f"{self.hub.url}/datasets/{repo}/commit/{made.oid}"
        raise Reply(200, {"success": True, "commitOid": made.oid, "commitUrl": url})

    def collect(self, key: str, value: Any, add: dict[str, Entry], delete: list[str]) -> None:
        """One operation of a commit."""
        if key == "file":
            content = base64.b64decode(value["content"])
            add[value["path"]] = self.hub.contents.put_regular(content)
        elif key == "lfsFile":
            if not self.hub.take_in(value["oid"]):
                raise refusal(400, f"LFS pointer pointed to a file that does not exist: {value}")
            add[value["path"]] = self.hub.contents.large_entry(value["oid"])
        elif key == "deletedFile":
            delete.append(value["path"])
        elif key != "header":
            raise refusal(400, f"the double does not know the operation {key}")

    def download(self, repo: str, revision: str, path: str) -> None:
        _, commit = self.commit_of(repo, revision)
        entry = commit.files.get(path)
        if entry is None:
            raise refusal(404, "Entry not found", "EntryNotFound")
        content = self.hub.contents.read(entry)
        headers = {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": f'"{entry.sha256 or entry.oid}"',
            "X-Repo-Commit": commit.oid,
        }
        if entry.sha256:
            headers["X-Linked-Size"] = str(entry.size)
            headers["X-Linked-Etag"] = f'"{entry.sha256}"'
            headers.update(self.xet_link(repo, commit, entry.sha256))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            raise Reply(200, content, headers)
        first, last = int(wanted[1]), min(int(wanted[2] or entry.size), entry.size - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{entry.size}"
        raise Reply(206, content[first : last + 1], headers)

    def xet_link(self, repo: str, commit: Commit, sha256: str) -> dict[str, str]:
        """Sends the client to the store, if what is asked for is in the asker's own."""
        found = self.hub.xet and self.hub.store_of(self.token or "anyone").hash_of(sha256)
        if not found:
            return {}
        place = f"{self.hub.url}/api/datasets/{repo}/xet-read-token/{commit.oid}"
        return {"X-Xet-Hash": found[0], "Link": f'<{place}>; rel="xet-auth"'}


REPO, REV, PATH = r"([^/]+/[^/]+)", r"([^/]+)", r"(.+)"
API = rf"/api/datasets/{REPO}"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/whoami-v2", Call.whoami),
    ("POST", "/api/repos/create", Call.create_repo),
    ("POST", "/api/validate-yaml", Call.validate_card),
    ("GET", rf"{API}(?:/revision/{REV})?", Call.repo_info),
    ("GET", f"{API}/refs", Call.refs),
    ("POST", f"{API}/branch/{REV}", Call.create_branch),
    ("POST", f"{API}/tag/{REV}", Call.create_tag),
    ("GET", f"{API}/discussions", discussions.list_discussions),
    ("POST", f"{API}/discussions", discussions.open_discussion),
    ("GET", f"{API}/discussions/([0-9]+)", discussions.show_discussion),
    ("POST", f"{API}/discussions/([0-9]+)/status", discussions.set_status),
    ("GET", f"{API}/commits/{REV}", Call.commits),
    ("GET", rf"{API}/tree/{REV}(?:/{PATH})?", Call.tree),
    ("POST", f"{API}/paths-info/{REV}", Call.paths_info),
    ("POST", f"{API}/preupload/{REV}", Call.preupload),
    ("POST", rf"/datasets/{REPO}\.git/info/lfs/objects/batch", Call.lfs_batch),
    ("PUT", "/lfs/([0-9a-f]{64})", Call.lfs_put),
    ("PUT", "/lfs/([0-9a-f]{64})/part/([0-9]+)", Call.lfs_part),
    ("POST", "/lfs/([0-9a-f]{64})", Call.lfs_complete),
    ("POST", "/lfs/([0-9a-f]{64})/verify", Call.lfs_verify),
    ("GET", rf"{API}/xet-(read|write)-token/{REV}", Call.xet_token),
    ("POST", f"{API}/commit/{REV}", Call.commit),
    ("GET", f"/datasets/{REPO}/resolve/{REV}/{PATH}", Call.download),
]
