# SPDX-License-Identifier: Apache-2.0
"""Tells whether other processes used the processor while a sample was taken.

All busy time of /proc/stat, the time that other guests of the machine stole included, less the time that the processes
measured report themselves, is somebody else's. A sample during which that was more than a few per cent of one processor
is no sample. The system counts in ticks of 10 ms, so short samples need some allowance.
"""

import os
import time

ALLOWED_PROCESSORS = 0.06
TICKS_ALLOWED = 0.03  # seconds of counting error at both ends together
MAX_TRIES = 6
TICK = 1 / os.sysconf("SC_CLK_TCK")


def _busy_seconds():
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, irq, softirq, steal = (int(v) for v in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK


def _process_seconds(pid):
    """Of the process and of its children that have ended."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * TICK


class Watch:
    """Counts what others use from its making to `others()`."""

    def __init__(self, pids):
        self.pids = [*pids, os.getpid()]
        self.start = self._now()

    def _now(self):
        return time.monotonic(), _busy_seconds(), sum(_process_seconds(pid) for pid in self.pids)

    def others(self):
        """Processors that others used on average, and whether that is little enough."""
        seconds, busy, own = (end - start for end, start in zip(self._now(), self.start))
        used = max(0.0, (busy - own) / max(seconds, 1e-9))
        return used, used <= ALLOWED_PROCESSORS + TICKS_ALLOWED / max(seconds, 1e-9)


def wait_for_quiet(pids, patience):
    """Returns the seconds waited, at most `patience`, until others have left the processor alone for a moment."""
    start = time.monotonic()
    while True:
        watch = Watch(pids)
        time.sleep(0.3)
        waited = time.monotonic() - start
        if watch.others()[1] or waited >= patience:
            return max(0.0, waited - 0.3)


class Guard:
    """Takes samples until they are undisturbed."""

    def __init__(self, patience, is_off=False):
        """`patience`: seconds that a case may wait for a quiet machine; `is_off`: every sample counts."""
        self.patience, self.is_off = patience, is_off

    @staticmethod
    def new_state():
        """What `sample` counts over the samples of a case."""
        return {"dropped": 0, "waited": 0.0, "disturbed": 0}

    def sample(self, take, pids, state):
        """The first undisturbed value of `take`; the last one, marked, when patience ends."""
        for attempt in range(MAX_TRIES):
            if not self.is_off:
                state["waited"] += wait_for_quiet(pids, max(0.0, self.patience - state["waited"]))
            watch = Watch(pids)
            value = take()
            if self.is_off or watch.others()[1]:
                return value
            state["dropped"] += 1
            if state["waited"] >= self.patience and attempt > 0:
                break
        state["disturbed"] += 1
        return value
