# SPDX-License-Identifier: Apache-2.0
"""Writes what bench/compare/serve measured as Markdown."""

import sys

import report

VERDICTS = {True: "met", False: "missed", None: ""}


def document(machine, bench, figures):
    arguments = machine.arguments
    lines = [f"# The server against its goals: {machine.cpu['model name']}", ""]
    if arguments.quick:
        lines += ["**A quick run on a tiny model: it shows that the measurement works, not how fast the server is.**", ""]
    if arguments.note:
        lines += [arguments.note, ""]
    lines += list(machine.lines())
    lines += ["", "Written by:", "", "```sh"]
    if any(figure.case.startswith("streams-") for figure in figures):
        lines.append("bench/compare/build_llama_cpp")
    words = [word for word in sys.argv[1:]]
    lines += ["bench/compare/serve " + " ".join(report.short(word) for word in words), "```", "",
              "Load comes from `llava bench serve` on the same machine. Beside llama-server: samples in alternation, the ratio is the median over the pairs (smallest to largest); one during",
              "which other processes used the processor is dropped and taken again. Both servers have the same 8-bit weights, compute on the same threads, and guess no tokens ahead.", ""]
    if bench.checks:
        lines += ["Checked before timing: " + "; ".join(bench.checks) + ". Every answer has exactly the tokens that were asked for.", ""]
    rows = [[figure.work, f"`{figure.case}`", figure.measured, figure.goal, VERDICTS[figure.is_met], held_by(arguments, figure)] for figure in figures]
    lines += report.table(["what", "case", "measured", "goal", "verdict", "remark"], rows)
    for figure in figures:
        if figure.details:
            lines += ["", *figure.details]
    lines += ["", "## Servers", "", "```sh"]
    lines += [" ".join(report.short(word) for word in command) for command in bench.commands.values()]
    return "\n".join(lines + ["```", ""])


def held_by(arguments, figure):
    """The remark; of a figure that misses its goal, also what holds it."""
    parts = [figure.remark] if figure.remark else []
    if figure.is_met is False and figure.case in arguments.holds:
        parts.append(arguments.holds[figure.case])
    return "; ".join(parts)
