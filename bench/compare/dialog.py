# SPDX-License-Identifier: Apache-2.0
"""Talks to a program that holds a model and answers commands, one line of JSON each."""

import json
import subprocess


class ProgramError(RuntimeError):
    """The program said no, or ended."""


class Program:
    """`llava bench --cases -`, llama_driver, or another of the same manners."""

    def __init__(self, name, command, environment=None):
        self.name, self.command = name, command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        self.facts = self._answer()

    @property
    def pid(self):
        return self.process.pid

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line.strip() else None
        if answer is None or "error" in answer:
            self.process.stdin.close()
            lines = [] if answer else self.process.stderr.read().strip().splitlines()
            why = answer["error"] if answer else lines[-1] if lines else ""
            self.process.wait()
            raise ProgramError(f"{self.name}: {why or 'ended without a word'} ({' '.join(self.command)})")
        return answer

    def ask(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
