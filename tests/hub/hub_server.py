# SPDX-License-Identifier: Apache-2.0
"""A hub on the loopback interface for tests: the HTTP API as clients of the hub use it, with faults.

Large files are redirected to a second server on another port, as the hub redirects to its storage.
"""

import hashlib
import json
import re
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE_BYTES = 1000  # from here on a file is a large one, named by its SHA-256


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def blob_of(data):
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE_BYTES else git_sha1(data)


@dataclass
class Request:
    kind: str  # "listing", "tree", "resolve" or "storage"
    method: str
    name: str  # of the model, or of the content
    path: str  # of the file
    range: tuple | None  # first and last byte
    headers: dict


@dataclass
class Answer:
    """What a fault answers instead."""
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""


class Hub:
    """Models, what was asked, and what goes wrong.

    A fault is called with every Request and returns an Answer, or None to let it pass.
    """

    def __init__(self):
        self.models = {}  # name -> revision or commit -> {path: bytes}
        self.commits = {}  # (name, revision) -> commit
        self.contents = {}  # SHA-256 -> bytes
        self.requests = []
        self.fault = lambda request: None
        self.damage = lambda request, data: data  # what is sent instead of these bytes
        self.length = lambda request: None  # bytes after which the connection breaks
        self.pause = 0  # seconds for each 64 KiB
        self.knows_ranges = True
        self.lists_hashes = True
        self.redirects = True
        self.extra_names = []  # in every listing
        self._lock = threading.Lock()
        self._servers = [_Server(self, "hub"), _Server(self, "storage")]
        self.address = self._servers[0].address
        self.storage_address = self._servers[1].address

    def add(self, name, files, revision="main"):
        commit = hashlib.sha1(repr(sorted((path, blob_of(data)) for path, data in files.items())).encode()).hexdigest()
        for key in (revision, commit):
            self.models.setdefault(name, {})[key] = files
            self.commits[name, key] = commit
        for data in files.values():
            if len(data) >= LARGE_BYTES:
                self.contents[blob_of(data)] = data
        return commit

    def record(self, request):
        with self._lock:
            self.requests.append(request)

    def asked(self, kind=None):
        with self._lock:
            return [request for request in self.requests if kind is None or request.kind == kind]

    def forget(self):
        with self._lock:
            self.requests.clear()

    def close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()


def times(count, answer):
    """A fault for the first `count` requests that `answer` (a function, or an Answer for files) has something for."""
    left = [count]
    lock = threading.Lock()

    def fault(request):
        found = answer(request) if callable(answer) else (answer if request.kind != "listing" else None)
        with lock:
            if found is None or left[0] == 0:
                return None
            left[0] -= 1
            return found

    return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub, role):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub, self.role = hub, role
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that are killed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    @property
    def hub(self):
        return self.server.hub

    def answer(self):
        request = self.parse()
        if request is None:
            return self.send(404)
        self.hub.record(request)
        fault = self.hub.fault(request)
        if fault is not None:
            return self.send(fault.status, fault.headers, fault.body)
        if request.kind == "listing":
            return self.answer_listing(request)
        if request.kind == "tree":
            return self.answer_tree(request)
        if request.kind == "storage":
            return self.send_file(request, self.hub.contents[request.name], {})
        return self.answer_file(request)

    def parse(self):
        path = urllib.parse.urlsplit(self.path).path
        match = re.fullmatch(r"bytes=(\d+)-(\d+)?", self.headers.get("Range", ""))
        asked = (int(match[1]), int(match[2]) if match[2] else None) if match else None
        common = {"method": self.command, "range": asked, "headers": dict(self.headers)}
        if self.server.role == "storage":
            return Request("storage", name=path.rsplit("/", 1)[-1], path="", **common)
        if match := re.fullmatch(r"/api/models/(.+?)/revision/([^/]+)", path):
            self.revision = urllib.parse.unquote(match[2])
            return Request("listing", name=urllib.parse.unquote(match[1]), path="", **common)
        if match := re.fullmatch(r"/api/models/(.+?)/tree/([^/]+)", path):
            self.revision = urllib.parse.unquote(match[2])
            return Request("tree", name=urllib.parse.unquote(match[1]), path="", **common)
        if match := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            self.revision = urllib.parse.unquote(match[2])
            return Request("resolve", name=urllib.parse.unquote(match[1]), path=urllib.parse.unquote(match[3]), **common)
        return None

    def files(self, request):
        revisions = self.hub.models.get(request.name)
        if revisions is None:
            self.send(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        if self.revision not in revisions:
            self.send(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            return None
        return revisions[self.revision]

    def answer_listing(self, request):
        files = self.files(request)
        if files is None:
            return
        siblings = [{"rfilename": name} for name in self.hub.extra_names]
        for path, data in files.items():
            entry = {"rfilename": path}
            if self.hub.lists_hashes:
                entry |= {"size": len(data), "blobId": git_sha1(data)}
                if len(data) >= LARGE_BYTES:
                    entry["lfs"] = {"sha256": blob_of(data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        commit = self.hub.commits[request.name, self.revision]
        body = json.dumps({"id": request.name, "sha": commit, "private": False, "siblings": siblings, "tags": []})
        self.send(200, {"Content-Type": "application/json"}, body.encode())

    def answer_tree(self, request):
        files = self.files(request)
        if files is None:
            return
        entries = []
        for path, data in files.items():
            entries.append({"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)})
            if len(data) >= LARGE_BYTES:
                entries[-1]["lfs"] = {"oid": blob_of(data), "size": len(data), "pointerSize": 134}
        self.send(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())

    def answer_file(self, request):
        files = self.files(request)
        if files is None:
            return
        commit = self.hub.commits[request.name, self.revision]
        if request.path not in files:
            return self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        data = files[request.path]
        if len(data) < LARGE_BYTES or not self.hub.redirects:
            return self.send_file(request, data, {"X-Repo-Commit": commit, "ETag": f'"{blob_of(data)}"'})
        self.send(302, {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{blob_of(data)}"', "X-Linked-Size": str(len(data)),
                        "Location": f"{self.hub.storage_address}/{blob_of(data)}?signature=1"})

    def send_file(self, request, data, headers):
        begin, end, status = 0, len(data), 200
        if request.range and self.hub.knows_ranges:
            begin = request.range[0]
            end = min(len(data), request.range[1] + 1 if request.range[1] is not None else len(data))
            if begin >= end:
                return self.send(416)
            status, headers = 206, headers | {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}
        part = self.hub.damage(request, data)[begin:end]
        self.send(status, headers, part, self.hub.length(request))

    def send(self, status, headers=None, body=b"", length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if length is not None:
            body = body[:length]
            self.close_connection = True
        for begin in range(0, len(body), 65536):
            self.wfile.write(body[begin:begin + 65536])
            if self.hub.pause:
                time.sleep(self.hub.pause)
