#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The original package's controller, workers, web server and clients, unmodified, with ours in every pairing.

usage: original_test.py PROGRAM ROOT     status 77 when the package is not installed (scripts/setup --dev)

A golden checkpoint answers, which the original loads from a folder in which its tower lies beside it. Expiry takes a minute
in the original's protocol, so that both controllers wait for it at the same time.
"""

import base64
import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    VERSION = importlib.metadata.version("llava-torch")
    import requests
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

PROGRAM, ROOT = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
MODEL = "llava-v1.5-pad"
MODELS = ROOT / "tests/golden/models"
PICTURE_FILE = ROOT / "tests/golden/images/wide_150x13.png"
PICTURE = base64.b64encode(PICTURE_FILE.read_bytes()).decode()
SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
REQUEST = {
    "model": MODEL, "prompt": f"{SYSTEM} USER: <image>\nWhat is shown? ASSISTANT:", "images": [PICTURE],
    "temperature": 0, "top_p": 1.0, "max_new_tokens": 12, "stop": "</s>",
}
ENVIRONMENT = os.environ | {
    "LLAVA_THREADS": "2", "LLAVA_LOG": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "2", "PYTHONUNBUFFERED": "1",
}
START_TIME = 180


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that answers on a port, and what it prints."""

    def __init__(self, command, folder, port):
        self.address = f"http://127.0.0.1:{port}"
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )

    def post(self, path, body=None, timeout=60):
        return requests.post(self.address + path, json=body if body is not None else {}, timeout=timeout)

    def wait_for(self, path):
        wait_until(lambda: self.answers(path), START_TIME, f"{self.address}{path}", self.text)
        return self

    def answers(self, path):
        expect(self.process.poll() is None, "it has ended", self.text())
        with contextlib.suppress(requests.ConnectionError):
            return self.post(path).status_code == 200
        return False

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def wait_until(is_there, seconds, what, explain=lambda: ""):
    end = time.monotonic() + seconds
    while not is_there():
        expect(time.monotonic() < end, f"{what} did not come true in {seconds} s", explain())
        time.sleep(0.2)


class Stage:
    """Starts programs of either kind, and ends what is left of them."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if failure[0] is not None:
            for server in self.servers:
                print(f"--- {server.address}\n{server.text()[-2000:]}")
        for server in self.servers:
            server.stop(signal.SIGKILL)

    def ours(self, command, *flags, port=None):
        port = port or free_port()
        line = [PROGRAM, command, "--host", "127.0.0.1", "--port", str(port), "--drain-delay", "0", *flags]
        return self._start(line, port)

    def original(self, module, *flags, port=None):
        port = port or free_port()
        line = [sys.executable, "-m", f"llava.serve.{module}", "--host", "127.0.0.1", "--port", str(port), *flags]
        return self._start(line, port)

    def _start(self, line, port):
        self.servers.append(Server(line, self.folder, port))
        return self.servers[-1]

    def our_worker(self, controller):
        worker = self.ours("worker", "--model-path", str(MODELS / MODEL), "--dtype", "float16", "--vision-dtype", "float16",
                           "--controller", controller.address)
        return worker.wait_for("/worker_get_status")

    def original_worker(self, controller):
        port = free_port()
        worker = self.original("model_worker", "--controller", controller.address, "--worker", f"http://127.0.0.1:{port}",
                               "--model-path", MODEL, "--device", "cpu", port=port)
        return worker.wait_for("/worker_get_status")


def models_of(controller):
    return controller.post("/list_models").json()["models"]


def wait_for_models(controller, models, seconds=START_TIME):
    wait_until(lambda: models_of(controller) == models, seconds, f"models {models} at {controller.address}")


def records(server, body):
    content = server.post("/worker_generate_stream", body).content
    expect(content.endswith(b"\0"), content[-200:])
    return [json.loads(record) for record in content.split(b"\0") if record]


def answer(server, body=REQUEST):
    found = records(server, body)
    expect(all(record["error_code"] == 0 for record in found), found)
    return found[-1]["text"]


def run(folder, *line):
    return subprocess.run(line, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def check_test_messages(folder, controller, worker):
    """Both programs' clients, which may be told either address."""
    original = run(folder, sys.executable, "-m", "llava.serve.test_message", "--controller-address", controller.address,
                   "--model-name", MODEL, "--max-new-tokens", "8")
    expect(original.returncode == 0 and f"worker_addr: {worker.address}" in original.stdout, original)
    ours = run(folder, PROGRAM, "test-message", "--controller", controller.address, "--model-name", MODEL, "--max-new-tokens", "8")
    expect(ours.returncode == 0 and f"worker_addr: {worker.address}" in ours.stderr and ours.stdout.strip(), ours)
    missing = run(folder, PROGRAM, "test-message", "--controller", controller.address, "--model-name", "other")
    expect(missing.returncode != 0 and "other" in missing.stderr, missing)


def check_our_worker(stage):
    """Our worker in an original controller."""
    controller = stage.original("controller").wait_for("/list_models")
    worker = stage.our_worker(controller)
    wait_for_models(controller, [MODEL])
    expect(controller.post("/get_worker_address", {"model": MODEL}).json() == {"address": worker.address})
    expect(answer(controller) == answer(worker), "through the original controller")
    check_test_messages(stage.folder, controller, worker)
    status = controller.post("/worker_get_status").json()
    expect(status["model_names"] == [MODEL] and status["speed"] == 1, status)
    # The original answers null whatever came of it.
    registered = run(stage.folder, PROGRAM, "register-worker", "--controller-address", controller.address,
                     "--worker-name", worker.address, "--check-heart-beat")
    expect(registered.returncode == 0, registered)
    worker.stop()
    expect(worker.process.returncode == 0, "it has no path to leave by, which is no error", worker.text())
    other = run(stage.folder, sys.executable, "-m", "llava.serve.register_worker", "--controller-address", controller.address,
                "--worker-name", stage.our_worker(controller).address, "--check-heart-beat")
    expect(other.returncode == 0, other)
    print("our worker in an original controller: ok")
    return controller


def stream_of(gateway, body):
    reply = requests.post(gateway.address + "/v1/chat/completions", json=body | {"stream": True}, timeout=60)
    expect(reply.status_code == 200, reply.text)
    events = [line[6:] for line in reply.content.decode().split("\n\n") if line]
    expect(events.pop() == "[DONE]", events)
    chunks = [json.loads(event) for event in events]
    expect(chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}, chunks)
    expect(chunks[-1]["choices"][0]["finish_reason"] == "stop", chunks)
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def check_gateway(stage, command, controller, worker):
    """An original worker behind our gateway, with and without the page."""
    gateway = stage.ours(command, "--controller", controller.address)
    wait_until(lambda: gateway_models(gateway) == [MODEL], START_TIME, "the gateway")
    url = {"url": "data:image/png;base64," + PICTURE}
    content = [{"type": "text", "text": "What is shown?"}, {"type": "image_url", "image_url": url}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 12}
    expected = answer(worker)[len(REQUEST["prompt"]):]
    whole = requests.post(gateway.address + "/v1/chat/completions", json=body, timeout=60).json()
    expect(whole["choices"][0]["message"]["content"] == expected, whole, expected)
    expect(stream_of(gateway, body) == expected)
    print(f"an original worker behind our {command}: ok")


def gateway_models(gateway):
    with contextlib.suppress(requests.ConnectionError):
        return [model["id"] for model in requests.get(gateway.address + "/v1/models", timeout=10).json()["data"]]


def check_original_worker(stage):
    """An original worker in our controller."""
    port = free_port()
    controller = stage.ours("controller", port=port).wait_for("/list_models")
    worker = stage.original_worker(controller)
    wait_for_models(controller, [MODEL])
    through = records(controller, REQUEST)
    expect(through[-1]["text"] == answer(worker), through)
    check_test_messages(stage.folder, controller, worker)
    wrong = records(controller, REQUEST | {"images": ["AAAA"]})
    expect([record["error_code"] for record in wrong] == [1], wrong)
    check_gateway(stage, "api", controller, worker)
    check_gateway(stage, "gradio-web-server", controller, worker)
    # A controller that comes back is told again with the next heartbeat.
    controller.stop(signal.SIGKILL)
    controller = stage.ours("controller", port=port).wait_for("/list_models")
    wait_for_models(controller, [MODEL], 30)
    print("an original worker in our controller: ok")
    return controller, worker


def check_same_answers(stage, original_worker):
    """Both workers say the same to a greedy question in float16, where the numbers allow it."""
    controller = stage.ours("controller").wait_for("/list_models")
    ours = stage.our_worker(controller)
    mine, theirs = answer(ours), answer(original_worker)
    expect(mine == theirs, mine, theirs)
    print("the same answer from both workers: ok")


def check_web_server(stage):
    """The original's web server before our controller and worker."""
    controller = stage.ours("controller").wait_for("/list_models")
    worker = stage.our_worker(controller)
    wait_for_models(controller, [MODEL])
    output = Path(stage.folder) / "web.json"
    asked = run(stage.folder, sys.executable, str(Path(__file__).parent.resolve() / "original_web.py"), controller.address, MODEL,
                str(PICTURE_FILE), "What is shown?", str(output))
    expect(asked.returncode == 0, asked)
    said = json.loads(output.read_text())
    expect(said == {"models": [MODEL], "answer": answer(worker)[len(REQUEST["prompt"]):].strip()}, said)
    print("the original's web server before ours: ok")


def check_sglang_workers(stage):
    """Both SGLang workers before our server, with SGLang's own client library in the original one."""
    server = stage.ours("serve", "--model-path", str(MODELS / MODEL), "--dtype", "float16", "--vision-dtype", "float16")
    server.wait_for("/worker_get_status")
    controller = stage.ours("controller").wait_for("/list_models")
    port = free_port()
    theirs = stage.original("sglang_worker", "--sgl-endpoint", server.address, "--controller", controller.address,
                            "--worker", f"http://127.0.0.1:{port}", port=port)
    theirs.wait_for("/worker_get_status")
    wait_for_models(controller, [MODEL])
    mine = stage.ours("sglang-worker", "--sgl-endpoint", server.address, "--no-register").wait_for("/worker_get_status")
    direct = answer(server)
    expect(answer(mine) == direct, answer(mine), direct)
    for through in (theirs, controller):
        # The client library of the original's worker loses the last words of one answer in three when the machine is busy: it
        # looks whether a text has ended before it looks what there is of it.
        said = {answer(through) for _ in range(10)}
        expect(direct in said and all(direct.startswith(text) for text in said), said, direct)
    print("the original's SGLang worker and ours before our server: ok")


def check_expiry(our_controller, original_worker, original_controller, our_worker):
    """Workers that are killed disappear from the other's controller."""
    begin = time.monotonic()
    original_worker.stop(signal.SIGKILL)
    our_worker.stop(signal.SIGKILL)
    missing = {our_controller, original_controller}
    while missing:
        elapsed = time.monotonic() - begin
        expect(elapsed < 75, "still there after", elapsed, [server.address for server in missing])
        for server in [server for server in missing if models_of(server) == []]:
            # The last heartbeat may be 15 s old when a worker is killed.
            expect(elapsed > 14, "gone too early", elapsed)
            missing.remove(server)
        time.sleep(0.5)
    print("workers that are killed expire in both controllers: ok")


def main():
    with tempfile.TemporaryDirectory() as folder:
        for path in MODELS.iterdir():
            os.symlink(path, Path(folder) / path.name)
        with Stage(folder) as stage:
            original_controller = check_our_worker(stage)
            our_worker = stage.servers[-1]
            our_controller, original_worker = check_original_worker(stage)
            check_same_answers(stage, original_worker)
            check_web_server(stage)
            check_sglang_workers(stage)
            check_expiry(our_controller, original_worker, original_controller, our_worker)
    print(f"llava-torch {VERSION} and ours agree in every pairing")


main()
