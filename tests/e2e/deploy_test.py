#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What deploy/ and docs/operations.md say, against the program: units and manifests can be read, every flag in them exists, every
number in them is in a real /metrics, and probes ask for paths that answer.

usage: deploy_test.py PROGRAM ROOT     status 77 without PyYAML (scripts/setup --dev)
"""

import base64
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

try:
    import yaml
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

PROGRAM, ROOT = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
DEPLOY = ROOT / "deploy"
MODEL = "llava-v1.5-pad"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "off", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
NUMBER = re.compile(r"\b(?:llava|process)_[a-z_]+[a-z]\b")
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)")


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def manifests():
    return {path.name: documents(path) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))}


def pods():
    """Containers of the manifests, with the pod around each."""
    for name, found in manifests().items():
        for document in found:
            template = document.get("spec", {}).get("template") if isinstance(document.get("spec"), dict) else None
            if template:
                for container in template["spec"]["containers"]:
                    yield name, document, template["spec"], container


# --- flags ---


def flags_of(command):
    helped = subprocess.run([PROGRAM, *command.split(), "--help"], capture_output=True, text=True)
    expect(helped.returncode == 0, command, helped.stderr)
    return set(re.findall(r"\n  --([a-z0-9-]+)", helped.stdout))


def command_lines_of_document(path):
    """Lines of shell blocks that run the program, joined where they go on."""
    for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("llava "):
                yield shlex.split(line)[1:]


def command_lines():
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        text = path.read_text()
        flags = re.search(r'^Environment="FLAGS=(.*)"$', text, re.M).group(1)
        start = shlex.split(re.search(r"^ExecStart=/usr/bin/llava (.*)$", text, re.M).group(1))
        expect(start[-1] == "$FLAGS", path, start)
        yield path.name, [*start[:-1], *flags.split()]
    example = re.search(r'^FLAGS="(.*)"$', (DEPLOY / "systemd/worker-example.env").read_text(), re.M).group(1)
    yield "worker-example.env", ["worker", *example.split()]
    for name, _, _, container in pods():
        yield name, container["args"]
    for line in command_lines_of_document(ROOT / "docs/operations.md"):
        yield "operations.md", line


def check_flags():
    known = {}
    count = 0
    for where, line in command_lines():
        command = " ".join(line[:2]) if line[0] == "bench" else line[0]
        if command not in known:
            known[command] = flags_of(command)
        for flag in (FLAG.match(word) for word in line):
            if flag:
                expect(flag.group(1) in known[command], where, "has an unknown flag", flag.group(0))
                count += 1
    expect(count > 60, count)
    # Flags that are only spoken of are those of some server.
    spoken = set(re.findall(r"`--([a-z][a-z0-9-]+)", (ROOT / "docs/operations.md").read_text()))
    expect(spoken <= set().union(*known.values(), flags_of("serve"), flags_of("inspect")), spoken - set().union(*known.values()))


# --- units and manifests ---


def check_units():
    if shutil.which("systemd-analyze") is None:
        print("units: not verified, there is no systemd-analyze")
        return
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for unit in sorted((DEPLOY / "systemd").glob("*.service")):
            # The program stands elsewhere here, and what is verified of a template is an instance.
            path = Path(name) / unit.name.replace("@.", "@one.")
            path.write_text(unit.read_text().replace("/usr/bin/llava", PROGRAM))
            paths.append(str(path))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if "llava" in line and name in line or "Unknown" in line]
        expect(done.returncode == 0 and not complaints, done)


def check_manifests():
    found = manifests()
    names = {(document["kind"], document["metadata"]["name"]) for each in found.values() for document in each if "metadata" in document}
    listed = set(found["kustomization.yaml"][0]["resources"])
    expect(listed == set(found) - {"kustomization.yaml"}, listed)
    for kind in ("StatefulSet", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"):
        expect(any(each == kind for each, _ in names), kind)
    for name, document, pod, container in pods():
        probes = {kind: container[kind]["httpGet"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
        expect([probe["path"] for probe in probes.values()] == ["/health/ready", "/health/ready", "/health/live"], name, probes)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        flags = dict(flag[2:].split("=", 1) for flag in container["args"] if "=" in flag)
        expect(int(flags["port"]) == ports["http"] and int(flags["metrics-port"]) == ports["metrics"], name, flags, ports)
        annotations = document["spec"]["template"]["metadata"]["annotations"]
        expect(annotations["prometheus.io/port"] == flags["metrics-port"], name, annotations)
        pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        if "drain-timeout" in flags:
            needed = pause + int(flags["drain-delay"]) + int(flags["drain-timeout"]) + 10
            expect(pod["terminationGracePeriodSeconds"] >= needed, name, pod["terminationGracePeriodSeconds"], needed)
        expect(pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"], name)
        selector = document["spec"]["selector"]["matchLabels"]
        expect(selector == document["spec"]["template"]["metadata"]["labels"], name)
        expect(("PodDisruptionBudget", document["metadata"]["name"]) in names, name)
        for variable in re.findall(r"\$\((\w+)\)", " ".join(container["args"])):
            expect(variable in {entry["name"] for entry in container["env"]}, name, variable)
    if shutil.which("kubectl"):
        built = subprocess.run(["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True)
        expect(built.returncode == 0, built.stderr)
        made = [document for document in yaml.safe_load_all(built.stdout) if document]
        expect({document["metadata"].get("namespace") for document in made if document["kind"] != "Namespace"} == {"llava"}, built.stdout)
    scaled = found["autoscaling.yaml"][0]["spec"]["scaleTargetRef"]
    expect((scaled["kind"], scaled["name"]) in names, scaled)


# --- numbers ---


class Server:
    def __init__(self, *line):
        self.process = subprocess.Popen([PROGRAM, *line, "--host", "127.0.0.1", "--port", "0", "--drain-delay", "0"], env=ENVIRONMENT,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().strip()
        expect(self.address.startswith("http://"), line, self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def ask(self, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def chat(picture=None, **members):
    content = [{"type": "text", "text": "Hi"}]
    if picture is not None:
        content.append({"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(picture).decode()}})
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 3, "temperature": 0} | members


def refuse_one(worker):
    """Has a request wait behind a long one for longer than it may."""
    status = 200
    while status != 503:
        with concurrent.futures.ThreadPoolExecutor() as threads:
            long = threads.submit(worker.ask, "/v1/chat/completions", chat(max_tokens=900, ignore_eos=True))
            while status == 200 and not long.done():
                status, _ = worker.ask("/v1/chat/completions", chat())


def real_numbers():
    """The names in /metrics of a controller, a worker and a page's server after some requests of every kind, as series."""
    picture = (ROOT / "tests/golden/images/wide_150x13.png").read_bytes()
    with Server("controller") as controller, \
            Server("worker", "--model-path", str(ROOT / "tests/golden/models" / MODEL), "--dtype", "float32",
                   "--controller-address", controller.address, "--max-running-requests", "1", "--queue-timeout", "0.02") as worker, \
            Server("gradio-web-server", "--controller-url", controller.address, "--moderate-api",
                   "--moderation-url", "http://127.0.0.1:1/") as page:
        while page.ask("/v1/models/" + MODEL)[0] != 200:
            pass
        for path in ("/health", "/health/live", "/health/ready"):
            expect({server.ask(path)[0] for server in (controller, worker, page)} == {200}, path)
        for body, status in [(chat(), 200), (chat(picture), 200), (chat(picture), 200), (chat(b"no picture"), 400), (chat(temperature=9), 400)]:
            answered, text = page.ask("/v1/chat/completions", body)
            expect(answered == status, body, text)
        controller.ask("/get_worker_address", {"model": "nobody's"})
        refuse_one(worker)
        names = set()
        for server in (controller, worker, page):
            status, text = server.ask("/metrics")
            expect(status == 200, text)
            names |= set(re.findall(r"^([a-z_]+)[{ ]", text, re.M))
        return names


def expressions_of_dashboard():
    dashboard = json.loads((DEPLOY / "grafana/llava.json").read_text())
    expect(len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]))
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    expect(len(shown) > 20)
    for panel in shown:
        expect(panel["targets"], panel["title"])
        for target in panel["targets"]:
            expect(target["expr"].count("(") == target["expr"].count(")"), target)
            yield target["expr"]
    yield dashboard["templating"]["list"][1]["query"]


def check_numbers():
    real = real_numbers()
    # A histogram is spoken of by its name.
    families = real | {re.sub(r"_(bucket|sum|count)$", "", name) for name in real}
    rules = [rule for group in documents(DEPLOY / "prometheus/alerts.yaml")[0]["groups"] for rule in group["rules"]]
    scaling = manifests()["autoscaling.yaml"][0]["spec"]["metrics"]
    told = re.search(r"\n## Metrics\n(.*?)(\n## |\Z)", (ROOT / "docs/http_api.md").read_text(), re.S).group(1)
    used = {
        "dashboard": set().union(*(NUMBER.findall(text) for text in expressions_of_dashboard())),
        "alerts": set().union(*(NUMBER.findall(rule["expr"]) for rule in rules)),
        "autoscaling": {metric["pods"]["metric"]["name"] for metric in scaling},
    }
    for where, names in used.items():
        expect(names and names <= real, where, sorted(names - real))
    spoken = set(NUMBER.findall((ROOT / "docs/operations.md").read_text())) | set(re.findall(r"`(llava_[a-z_]+[a-z])", told))
    expect(len(spoken) > 40 and spoken <= families, sorted(spoken - families))
    document = (ROOT / "docs/operations.md").read_text()
    for rule in rules:
        expect(rule["alert"] in document or rule["labels"]["severity"] == "ticket", rule["alert"])


def main():
    check_flags()
    check_units()
    check_manifests()
    check_numbers()
    print("deploy/ and docs/operations.md say what the program has")


main()
