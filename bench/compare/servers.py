# SPDX-License-Identifier: Apache-2.0
"""Servers that bench/compare/serve measures: starting and ending them, and what can be seen of them from outside."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 300
END_SECONDS = 60


class ServerError(Exception):
    """A server that did not start, or died."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One program that serves an OpenAI-compatible API on a port of its own; ends with the block."""

    def __init__(self, name, command, log):
        """`{port}` in a word of the command stands for the port. What it prints goes to the file `log`."""
        self.name, self.log = name, Path(log)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [word.replace("{port}", str(self.port)) for word in command]
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.pid = self.process.pid
        self._wait_until_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=10) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                last = self.log.read_text(errors="replace").strip()[-500:]
                self.close()
                raise ServerError(f"{self.name} does not start: {last}")
            time.sleep(0.05)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def resident_bytes(self):
        """Its physical memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def num_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def metrics(self):
        """Ours: the samples of /metrics, by name and labels other than the model's, as `name{kind="text"}`."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=60) as answer:
            text = answer.read().decode()
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.rpartition(" ")
                key = re.sub(r'model="[^"]*",?', "", key).replace(",}", "}").replace("{}", "")
                samples[key] = float(value)
        return samples

    def ask(self, picture_url, question, max_tokens):
        """One answer about a picture, greedy."""
        content = [{"type": "image_url", "image_url": {"url": picture_url}}, {"type": "text", "text": question}]
        body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": max_tokens}
        request = urllib.request.Request(self.url + "/v1/chat/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]


class LoadError(Exception):
    """A load whose answers were not what was asked for."""


class LoadGenerator:
    """`llava bench serve` of the program measured."""

    def __init__(self, llava):
        self.llava = str(llava)

    def run(self, url, **flags):
        """Its report. Flags with `_` for `-`; True for one without a value."""
        command = [self.llava, "bench", "serve", "--url", url, "--json"]
        for name, value in flags.items():
            command.append("--" + name.replace("_", "-"))
            if value is not True:
                command.append(str(value))
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise LoadError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout)

    def run_whole(self, url, requests, max_tokens, **flags):
        """The same in a closed loop in which every answer has exactly `max_tokens` tokens."""
        report = self.run(url, requests=requests, max_tokens=max_tokens, ignore_eos=True, **flags)
        if report["errors"] or report["ok"] != requests:
            raise LoadError(f"{report['ok']} of {requests} answers are whole: {report['errors']}")
        if report["completion_tokens"] != requests * max_tokens:
            raise LoadError(f"the answers have {report['completion_tokens']} tokens, expected {requests * max_tokens}")
        return report
