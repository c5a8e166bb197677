"""A Hub in one process: the part of its HTTP interface that publishing and loading use.

    with HubDouble(folder, xet=False) as hub:
        hub.add_user("alice", "hf_alice")
        ... HF_ENDPOINT=hub.url ...

Real: commits with parents, branches, tags and pull requests, conflicts, tokens and private
repositories, both upload protocols (Git LFS in one piece or in parts; Xet, with the client's own
chunking and deduplication), ranges, pagination, redirect-free downloads, the error headers that
the client reads. Injected on demand: refusals with any status, headers and body, before or after
the work is done; dropped connections before, after and in the middle of a reply; slow replies;
and actions that run just before a request is served. Uploads of what was there already are
counted.

Not covered: model and Space repositories, merging of pull requests, gating, fine points of
.gitignore, rate limits other than injected ones, viewer endpoints.
"""

from tests.hub_double.server import Fault, HubDouble, Request
from tests.hub_double.store import Repository

__all__ = ["Fault", "HubDouble", "Repository", "Request"]
