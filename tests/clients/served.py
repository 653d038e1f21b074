# SPDX-License-Identifier: Apache-2.0
"""A server of the program with a golden model, and what the clients' tests ask it.

Those who import it are called with PROGRAM and ROOT.
"""

import base64
import contextlib
import os
import subprocess
import sys
from pathlib import Path

PROGRAM, ROOT = sys.argv[1], Path(sys.argv[2])
MODEL = "llava-v1.5-pad"
FLAGS = ["--model-path", str(ROOT / "tests/golden/models" / MODEL), "--dtype", "float32"]
PICTURE = ROOT / "tests/golden/images/wide_150x13.png"
PICTURE_BASE64 = base64.b64encode(PICTURE.read_bytes()).decode()
PICTURE_URL = "data:image/png;base64," + PICTURE_BASE64
QUESTION = "What is shown?"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
os.environ.update(ENVIRONMENT)


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


@contextlib.contextmanager
def server_of(*arguments):
    """A server of the program; its address."""
    with subprocess.Popen([PROGRAM, *arguments, "--port", "0"], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            expect(address.startswith("http://127.0.0.1:"), address)
            yield address
        finally:
            server.terminate()
            server.send_signal(2)


@contextlib.contextmanager
def gateway_of():
    """`llava api` before a controller and a worker; its address. The worker registers after it has printed its own."""
    host = ("--host", "127.0.0.1")
    with (
        server_of("controller", *host) as controller,
        server_of("worker", *host, *FLAGS, "--controller-address", controller),
        server_of("api", *host, "--controller-address", controller) as gateway,
    ):
        yield gateway
