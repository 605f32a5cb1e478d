"""A hub on loopback: what huggingface_hub asks of the real one, with faults when they are wanted."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LARGE = (".safetensors", ".bin", ".parquet", ".h5")  # kept in Git LFS, where the hash is a SHA-256


def git_hash(content: bytes) -> str:
    """Return the hash by which Git names a file's content."""
    return sha1(b"blob %d\0" % len(content) + content).hexdigest()


def commit(branch: str) -> str:
    """Return the hash of the newest commit of a branch."""
    return sha1(branch.encode()).hexdigest()


COMMIT = commit("main")


@dataclass
class Hub:
    """Files of repositories by kind and name, then by branch, and how the server misbehaves.

    `faults` are taken one by one by the requests for a file (by its name), or for information on a
    repository (by ``info``): ``drop`` cuts the answer off in the middle, ``slow`` waits longer than the
    environment lets a client wait, ``error`` answers 503, ``damage`` changes one byte.
    """

    folder: Path
    repositories: dict[tuple[str, str], dict[str, dict[str, bytes]]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)  # names that redirect to others
    gated: set[str] = field(default_factory=set)
    token: str | None = None  # without which nothing is there
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    port: int = 0

    def add(
        self, name: str, files: dict[str, bytes] | Path, kind: str = "models", branch: str = "main"
    ) -> None:
        """Add a repository, or a branch of one: files by name, or the files of a folder."""
        if isinstance(files, Path):
            paths = [path for path in files.rglob("*") if path.is_file()]
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
        self.repositories.setdefault((kind, name), {})[branch] = files

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find this hub in the place of the real one."""
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "HF_HOME": str(self.folder / "hub-cache"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_ETAG_TIMEOUT": "2",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of loopback."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        api, kind, name, what, revision, file = self._route([unquote(part) for part in path.split("/")])
        if name in self.hub.moved:
            there = self.path.replace(name, self.hub.moved[name], 1)
            self._answer(307, b"", {"Location": there})
            return
        branches = self.hub.repositories.get((kind, name))
        private = self.hub.token and self.headers["Authorization"] != f"Bearer {self.hub.token}"
        found = next((branch for branch in branches or {} if revision in (branch, commit(branch))), None)
        if branches is None or private:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif name in self.hub.gated:
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif found is None:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif api and what == "tree":
            self._json([_listed(file, content) for file, content in branches[found].items()], "tree")
        elif api:
            self._json({"id": name, "sha": commit(found), "siblings": []}, "info")
        elif file in branches[found]:
            content = branches[found][file]
            entry = _listed(file, content)
            digest = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
            self._answer(200, content, {"ETag": f'"{digest}"', "X-Repo-Commit": commit(found)}, file)
        else:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def _route(self, parts: list[str]) -> tuple[bool, str, str, str, str, str]:
        """Return whether information is asked for, kind and name, what of it, its revision, the file."""
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        kind = parts.pop(0) if parts[0] in ("models", "datasets") else "models"
        verbs = [number for number, part in enumerate(parts) if part in ("revision", "tree", "resolve")]
        cut = verbs[0] if verbs else len(parts)
        what, revision = [*parts[cut : cut + 2], "", "main"][:2] if verbs else ("", "main")
        return api, kind, "/".join(parts[:cut]), what, revision, "/".join(parts[cut + 2 :])

    def _json(self, content: Any, fault: str) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"}, fault)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], name: str = "") -> None:
        faults = self.hub.faults[name] if self.command == "GET" else []
        fault = faults.pop(0) if faults else ""
        if fault == "slow":
            time.sleep(4)
        if fault == "error":
            status, body, headers = 503, b"", {}
        if fault == "damage":
            body = body[:-1] + bytes([body[-1] ^ 1])
        try:
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if fault == "drop" else body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a client that waited long enough
        if fault == "drop":
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


def _listed(file: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": file,
        "size": len(content),
        "oid": git_hash(content),
    }
    if file.endswith(LARGE):
        entry["lfs"] = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry
