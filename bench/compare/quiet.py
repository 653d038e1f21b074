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
TICK = 1 / os.sysconf("SC_CLK_TCK")


def _busy_seconds():
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, irq, softirq, steal = (int(v) for v in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK


def _process_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


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
