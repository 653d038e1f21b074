#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Schemathesis against `llava serve` and its own /openapi.json: no 5xx, and no answer that is not described.

usage: openapi_test.py PROGRAM ROOT [CASES [SEED]]     status 77 when schemathesis is not installed (scripts/setup --dev)

CASES are requests of each operation, 20 unless given; 1050 make more than 20000 requests in all. SEED is 1 unless given.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM, ROOT = sys.argv[1], Path(sys.argv[2])
CASES = sys.argv[3] if len(sys.argv) > 3 else "20"
SEED = sys.argv[4] if len(sys.argv) > 4 else "1"
TOOL = Path(sys.executable).with_name("schemathesis")
MODEL = ROOT / "tests/golden/models/llava-v1.5-pad"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]

if not TOOL.exists():
    print("skipped: schemathesis is not installed (scripts/setup --dev)")
    sys.exit(77)

server = subprocess.Popen([PROGRAM, "serve", "--port", "0", "--model-path", MODEL, "--dtype", "float32",
                           "--default-max-tokens", "16", "--queue-timeout", "0",
                           # A name that it comes upon by itself, where the model's name is needed.
                           "--served-model-name", MODEL.name, "--served-model-name", "0"],
                          stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
try:
    address = server.stdout.readline().strip()
    # It keeps a cache where it runs.
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run([TOOL, "run", address + "/openapi.json", "--url", address, "--phases", "examples,coverage,fuzzing,stateful",
                                 "--checks", ",".join(CHECKS), "--max-examples", CASES, "--seed", SEED, "--no-color",
                                 "--request-timeout", "60"], env=ENVIRONMENT, check=False, cwd=folder)
    if server.poll() is not None:
        raise AssertionError(f"the server ended with status {server.returncode}")
finally:
    server.terminate()
    server.wait(timeout=60)
sys.exit(result.returncode)
