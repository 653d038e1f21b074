# SPDX-License-Identifier: Apache-2.0
"""Writes what bench/compare/run measured as Markdown."""

import json
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cases


def run_quietly(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def revision():
    """Of the sources these scripts stand in."""
    git = ["git", "-C", str(Path(__file__).parent)]
    name = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout.strip()
    return name + (" with changes" if changed else "")


def _spread(values):
    return min(values), statistics.median(values), max(values)


@dataclass
class Row:
    """A case with the samples of both programs, in the order of the pairs."""

    name: str
    case: cases.Case
    title: str
    ours: list
    theirs: list
    dropped: int = 0
    waited: float = 0.0
    disturbed: int = 0
    ratios: list = field(init=False)

    def __post_init__(self):
        self.ratios = [theirs / ours for ours, theirs in zip(self.ours, self.theirs)]

    def _cell(self, values):
        if self.case.command == "memory":
            numbers, form = [value / 1e9 for value in values], "{:.2f} GB"
        elif self.case.tokens > 1:
            numbers, form = [1000 * self.case.tokens / value for value in values], "{:.1f} tok/s"
        elif min(values) >= 2000:
            numbers, form = [value / 1000 for value in values], "{:.2f} s"
        else:
            numbers, form = values, "{:.2f} ms"
        *first, last = _spread(numbers)
        number = form.split()[0]
        return " / ".join([number.format(value) for value in first] + [form.format(last)])

    def ratio(self):
        return statistics.median(self.ratios)

    def remark(self):
        if self.disturbed:
            return f"{self.disturbed} of {2 * len(self.ours)} samples disturbed: not to be relied on"
        return f"{self.dropped} dropped" if self.dropped else ""

    def cells(self):
        verdict = "met" if self.ratio() >= self.case.goal else f"{100 * self.ratio() / self.case.goal:.0f} % of it"
        return [f"{self.title}: {self.case.title}", f"`{self.name}`", self._cell(self.theirs), self._cell(self.ours),
                f"**{self.ratio():.2f}** ({min(self.ratios):.2f} to {max(self.ratios):.2f})",
                f"{min(self.theirs) / min(self.ours):.2f}", f"{self.case.goal:.2f}", verdict, self.remark()]

    def line(self):
        return "  ".join(self.cells()[1:])


class Machine:
    """What was measured on, as the files of the system and the programs say."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.info = json.loads(run_quietly([str(arguments.llava), "info", "--json"]))
        text = Path("/proc/cpuinfo").read_text()
        self.cpu = {key: self._first(text, key) for key in ("model name", "cpu family", "model", "cpu MHz")}
        self.memory = int(self._first(Path("/proc/meminfo").read_text(), "MemTotal").split()[0]) / 2**20
        pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        self.huge_pages = re.search(r"\[(\w+)\]", pages.read_text()).group(1) if pages.exists() else "none"
        build = arguments.folder / f"{arguments.peer}-build.txt"
        self.peer = build.read_text().strip().splitlines() if build.exists() else []

    @staticmethod
    def _first(text, key):
        found = re.search(rf"^{re.escape(key)}\s*:\s*(.*)$", text, re.MULTILINE)
        return found.group(1).strip() if found else "unknown"

    def slug(self):
        return re.sub(r"[^a-z0-9]+", "-", self.cpu["model name"].lower()).strip("-")

    def lines(self):
        kernels = self.info["kernels"]["chosen"]
        yield f"- Processor: {self.cpu['model name']}, family {self.cpu['cpu family']} model {self.cpu['model']}, " \
              f"{self.cpu['cpu MHz']} MHz at rest; {self.arguments.threads} threads; {self.memory:.1f} GiB of memory; " \
              f"{platform.system()} {platform.release()}; transparent huge pages: {self.huge_pages}"
        yield f"- Instruction set of our kernels: {kernels}; all the processor has: {', '.join(self.info['cpu']['features'])}"
        yield f"- llava {self.info['version']}, revision {revision()}, {self.info['compiler']}, {self.info['build_type']}"
        if self.peer:
            yield f"- {self.arguments.peer}: " + "; ".join(" ".join(line.split()) for line in self.peer)
        yield f"- Date: {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def bars(points, unit, width=40):
    """A plot of numbers that a text file can hold."""
    most = max(value for _, value in points)
    return [f"{size:>6} {'#' * max(1, round(width * value / most)):<{width}} {value:.2f} {unit}" for size, value in points]


def growth_lines(setup_name, curves):
    title = cases.SETUPS[setup_name].title
    yield from ["", f"### {title}", ""]
    for kind, points in curves.items():
        if kind == "batch":
            points, unit = [(size, 1000 * size / ms) for size, ms in points], "tokens/s in all"
        else:
            unit = "ms" if kind == "prefill" else "ms a token"
        yield from [f"{kind} against {'sequences' if kind == 'batch' else 'tokens'}:", "", "```text", *bars(points, unit), "```", ""]


def short(word):
    """A word of a command line without the folders of this machine."""
    key, equals, value = word.rpartition("=")
    path = Path(value)
    return shlex.quote(key + equals + (path.name if path.is_absolute() else value))


def document(machine, checks, rows, curves, runner):
    lines = [f"# This program beside {machine.arguments.peer}: {machine.cpu['model name']}", ""]
    if machine.arguments.note:
        lines += [machine.arguments.note, ""]
    lines += list(machine.lines())
    lines += ["", "Written by:", "", "```sh", "bench/compare/build_llama_cpp" if machine.arguments.peer == "llama.cpp" else f"bench/compare/make_peer {machine.arguments.peer}",
              "bench/compare/run " + " ".join(short(word) for word in sys.argv[1:]), "```", ""]
    how = "" if machine.arguments.cpu_time else (
        " A sample repeats its case for at least 0.4 s and counts as its median time; one during which\n"
        "other processes used the processor is dropped and taken again.")
    lines += [f"Both programs hold their model and take samples in alternation.{how} Cells: minimum / median / maximum.",
              "The ratio is the median over the pairs (smallest to largest); above 1 this program is faster, or needs less. \"Of the best\" is the ratio of both",
              "programs' shortest samples, which other work on the machine lengthens least.", ""]
    if machine.arguments.cpu_time:
        lines += ["**Processor time of one thread** (`--cpu-time`), because the machine was not quiet: all times are what the thread ran, not what passed. Other work "
                  "still took part", "of the caches and of the memory bandwidth. A final table has two threads and the time that passed.", ""]
    lines += ["Checked before timing: " + "".join(check + "; " for check in checks) + "`llava bench` compares cached steps, prompts in parts and batches bit for bit; "
              "all logits are finite.", ""]
    header = ["work", "case", machine.arguments.peer, "llava", "ratio", "of the best", "goal", "verdict", "remark"]
    # The goals are ratios to llama.cpp.
    columns = range(9) if machine.arguments.peer == "llama.cpp" else (0, 1, 2, 3, 4, 5, 8)
    lines += table([header[i] for i in columns], [[row.cells()[i] for i in columns] for row in rows])
    if curves:
        lines += ["", "## Cost against size (llava)"]
        for setup_name, setup_curves in curves.items():
            lines += list(growth_lines(setup_name, setup_curves))
    lines += ["", "## Commands", "", "```sh"]
    for setup_name in dict.fromkeys(row.case.setup for row in rows):
        for command in runner.commands(cases.SETUPS[setup_name]):
            lines.append(" ".join(short(word) for word in command))
    return "\n".join(lines + ["```", ""])
