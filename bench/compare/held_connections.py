#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds many connections to a server, for bench/compare/serve: idle ones, and streams that are read slowly.

    held_connections.py PORT --idle 4000 --slow 256 --max-tokens 64

An idle connection has had one answer and says nothing more; when the server closes it, it is opened again. A slow one asks
for a streamed answer with log-probabilities (large events), and reads 100 bytes a second through the smallest receive
buffer the system gives. Prints a line of JSON when all are there and every stream has begun, waits until its standard
input ends, and prints another: how many are still open.
"""

import argparse
import asyncio
import json
import socket
import sys

SLOW_BYTES_A_SECOND = 100
CONNECTS_AT_ONCE = 64
RECEIVE_BUFFER = 2048


class Connections:
    def __init__(self, arguments):
        self.arguments = arguments
        self.counts = {"idle_open": 0, "slow_open": 0, "reopened": 0, "slow_ended": 0}
        self.num_started = 0
        self.all_started = asyncio.Event()
        self.gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

    def note_started(self):
        self.num_started += 1
        if self.num_started == self.arguments.idle + self.arguments.slow:
            self.all_started.set()

    async def connect(self, receive_buffer=None):
        async with self.gate:
            sock = socket.socket()
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.arguments.port))
            return await asyncio.open_connection(sock=sock, limit=RECEIVE_BUFFER)

    async def idle(self):
        is_first = True
        while True:
            reader, writer = await self.connect()
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not await reader.read(RECEIVE_BUFFER):
                raise SystemExit("the server answers an idle connection with nothing")
            self.counts["idle_open"] += 1
            if is_first:
                self.note_started()
            is_first = False
            while await reader.read(RECEIVE_BUFFER):
                pass
            self.counts["idle_open"] -= 1
            self.counts["reopened"] += 1
            writer.close()

    async def slow(self):
        body = json.dumps({"messages": [{"role": "user", "content": "Say something long."}], "stream": True,
                           "ignore_eos": True, "max_tokens": self.arguments.max_tokens, "logprobs": True,
                           "top_logprobs": 20}).encode()
        reader, writer = await self.connect(RECEIVE_BUFFER)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status = await reader.readline()
        if b" 200 " not in status:
            raise SystemExit(f"a slow stream is refused: {status.decode().strip()}")
        self.counts["slow_open"] += 1
        self.note_started()
        try:
            while await reader.read(SLOW_BYTES_A_SECOND):
                await asyncio.sleep(1)
        except ConnectionError:
            pass
        self.counts["slow_open"] -= 1
        self.counts["slow_ended"] += 1
        writer.close()

    async def run(self):
        tasks = [asyncio.create_task(self.slow()) for _ in range(self.arguments.slow)]
        tasks += [asyncio.create_task(self.idle()) for _ in range(self.arguments.idle)]
        started = asyncio.create_task(self.all_started.wait())
        failed = asyncio.create_task(self.first_failure(tasks))
        await asyncio.wait([started, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            raise failed.result()
        print(json.dumps(self.counts), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(json.dumps(self.counts), flush=True)
        for task in [*tasks, failed]:
            task.cancel()

    @staticmethod
    async def first_failure(tasks):
        """The first exception of a task; slow streams may end without one."""
        rest = set(tasks)
        while rest:
            done, rest = await asyncio.wait(rest, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if not task.cancelled() and task.exception():
                    return task.exception()
        return SystemExit("every connection has ended")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--idle", type=int, default=4000)
    parser.add_argument("--slow", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=64)
    asyncio.run(Connections(parser.parse_args()).run())


if __name__ == "__main__":
    main()
