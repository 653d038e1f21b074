# SPDX-License-Identifier: Apache-2.0
"""The cases of bench/compare/serve: each measures one row of the table of serving goals."""

import base64
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cases
import report
from dialog import Program
from quiet import Guard
from servers import LoadGenerator, Server

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLED = REPOSITORY / "models/tiny-llava-smollm2"
TINY = REPOSITORY / "tests/golden/models/llava-v1.5-pad"
EXAMPLE = BUNDLED / "examples/red_triangle.png"
EXAMPLE_QUESTION, EXAMPLE_ANSWER = "What shape is in the image?", "triangle"
# Between which steps of its answers the case cost looks at the server: contexts of 64 to 72 in the mean, as of batch:16.
FIRST_STEP, LAST_STEP = 10, 50
CASES = ("streams-1", "streams-4", "streams-16", "questions", "overload", "idle", "soak", "cost", "replicas")


@dataclass
class Figure:
    """One line of the table: what was measured, beside its goal."""

    case: str
    work: str
    measured: str
    goal: str
    is_met: bool
    remark: str = ""
    details: list = field(default_factory=list)  # lines of Markdown below the table


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    pairs: int
    stream_requests: dict  # streams -> requests of a sample
    stream_tokens: int
    questions: int
    overload_seconds: float
    idle: int
    slow: int
    slow_tokens: int
    active_tokens: int
    soak_requests: int


FULL = Sizes(pairs=5, stream_requests={1: 16, 4: 32, 16: 64}, stream_tokens=64, questions=64, overload_seconds=30,
             idle=4000, slow=256, slow_tokens=64, active_tokens=256, soak_requests=100_000)
QUICK = Sizes(pairs=1, stream_requests={1: 2, 4: 4, 16: 16}, stream_tokens=8, questions=16, overload_seconds=2,
              idle=100, slow=8, slow_tokens=16, active_tokens=32, soak_requests=400)


def median_of(reports, *path):
    """The median of a number that each report has under `path`."""
    values = []
    for value in reports:
        for key in path:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def slope(points):
    """Of the least squares line through (x, y)."""
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def time_of_children():
    """Seconds of processor time of child processes that have ended: here, load generators."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def remark_of(state):
    parts = []
    if state["disturbed"]:
        parts.append(f"{state['disturbed']} samples disturbed: not to be relied on")
    if state["dropped"]:
        parts.append(f"{state['dropped']} dropped")
    return "; ".join(parts)


class Bench:
    """What the cases share: programs, models, sizes."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.sizes = QUICK if arguments.quick else FULL
        self.load = LoadGenerator(arguments.llava)
        self.guard = Guard(arguments.patience, arguments.no_guard)
        self.commands = {}  # name -> command line of a server, for the report
        self.checks = []
        self.folder = arguments.folder
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)

    @staticmethod
    def progress(text):
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    # Models.

    def quantized(self, form):
        """The bundled model in 8 bits, as `llava quantize` writes it: a store for us, a GGUF pair for llama.cpp."""
        target = self.folder / "models" / f"bundled-q8-{form}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            report.run_quietly([str(self.arguments.llava), "quantize", "--model-path", str(BUNDLED), "--model-base",
                                str(cases.model_file(self.folder, cases.SMOLLM2)), "--lm", "q8", "--projector", "f16", "--vision", "f16",
                                "--format", form, "--output", str(target)])
        return target

    def model(self):
        """What every case but the soak serves."""
        return TINY if self.arguments.quick else self.quantized("llava")

    # Servers.

    def start(self, model, *flags, name="llava", threads=None):
        server = Server(name, [str(self.arguments.llava), "serve", "--model-path", str(model), "--no-web", "--port", "{port}",
                               "--threads", str(threads or self.arguments.threads), "--drain-delay", "0", *flags],
                        self.folder / "logs" / f"{name}.log")
        self.commands.setdefault(" ".join(["llava", *flags]), server.command)
        return server

    def start_peer(self, streams):
        pair = self.quantized("gguf")
        threads = str(self.arguments.threads)
        server = Server("llama-server", [
            str(self.folder / "llama.cpp-build/bin/llama-server"), "--model", str(pair / "model.gguf"), "--mmproj", str(pair / "mmproj.gguf"),
            "--threads", threads, "--threads-batch", threads, "--parallel", str(streams), "--ctx-size", str(1024 * streams),
            "--chat-template", "chatml", "--host", "127.0.0.1", "--port", "{port}"], self.folder / "logs/llama-server.log")
        self.commands.setdefault("llama-server", server.command)
        return server

    # Streams beside llama.cpp.

    def check_same_answer(self, servers):
        picture = "data:image/png;base64," + base64.b64encode(EXAMPLE.read_bytes()).decode()
        for server in servers:
            answer = server.ask(picture, EXAMPLE_QUESTION, 8)
            if EXAMPLE_ANSWER not in answer.lower():
                raise SystemExit(f"{server.name} sees no {EXAMPLE_ANSWER} in {EXAMPLE.name}: '{answer}'")
        check = f"both servers see a {EXAMPLE_ANSWER} in `{EXAMPLE.name}`"
        if check not in self.checks:
            self.checks.append(check)

    def streams(self, count):
        """Both hold the model; samples in alternation, each with pictures that neither has seen."""
        requests, tokens = self.sizes.stream_requests[count], self.sizes.stream_tokens
        state = self.guard.new_state()
        with self.start(self.quantized("llava"), "--max-draft-tokens", "0") as ours, self.start_peer(count) as theirs:
            servers = (ours, theirs)
            self.check_same_answer(servers)

            def take(server, seed):
                return self.load.run_whole(server.url, requests, tokens, concurrency=count, image_size=224, seed=seed)

            reports = self.alternate(f"streams-{count}", servers, take, state)
        return self.stream_figures(count, reports[ours], reports[theirs], state)

    def alternate(self, case, servers, take, state):
        """Samples of both in turn, each pair with a seed of its own: server -> reports."""
        pids = [server.pid for server in servers]
        for server in servers:
            take(server, 1000)  # not counted: touches all memory
        reports = {server: [] for server in servers}
        for pair in range(self.sizes.pairs):
            for server in servers[:: 1 if pair % 2 == 0 else -1]:
                reports[server].append(self.guard.sample(lambda: take(server, pair + 1), pids, state))
            self.progress(f"{case} {pair + 1}/{self.sizes.pairs}")
        return reports

    def stream_figures(self, count, ours, theirs, state):
        rates = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, theirs)]
        firsts = [a["first_token_ms"]["p95"] / b["first_token_ms"]["p95"] for a, b in zip(ours, theirs)]
        has_goal = count == 16
        work = f"{count} stream{'s' if count > 1 else ''} with pictures"
        rate, first = statistics.median(rates), statistics.median(firsts)
        tokens = f"{median_of(ours, 'tokens_per_second'):.1f} tok/s, llama-server {median_of(theirs, 'tokens_per_second'):.1f}: " \
                 f"**{rate:.2f}** ({min(rates):.2f} to {max(rates):.2f})"
        delay = f"{median_of(ours, 'first_token_ms', 'p95'):.0f} ms, llama-server {median_of(theirs, 'first_token_ms', 'p95'):.0f}: " \
                f"**{first:.2f}** ({min(firsts):.2f} to {max(firsts):.2f})"
        details = [f"{work}: a median of {median_of(ours, 'between_tokens_ms', 'p50'):.1f} ms between tokens, llama-server "
                   f"{median_of(theirs, 'between_tokens_ms', 'p50'):.1f}; prompt tokens of a sample: {median_of(ours, 'prompt_tokens'):.0f} and "
                   f"{median_of(theirs, 'prompt_tokens'):.0f}."]
        return [Figure(f"streams-{count}", work + ": throughput", tokens, ">= 1.5" if has_goal else "(16 streams)",
                       rate >= 1.5 if has_goal else None, remark_of(state), details),
                Figure(f"streams-{count}", work + ": first token, 95 %", delay, "<= 0.6" if has_goal else "(16 streams)",
                       first <= 0.6 if has_goal else None, remark_of(state))]

    # Many questions about one picture.

    def questions(self):
        count = self.sizes.questions
        with self.start(self.model()) as server:
            before = server.metrics()
            cold = self.load.run_whole(server.url, 1, 8, concurrency=1, seed=2)
            middle = server.metrics()
            shared = self.load.run_whole(server.url, count, 8, concurrency=8, seed=1, shared_image_ratio=1)
            after = server.metrics()

        def grown(name, start=middle):
            return after.get(name, 0) - start.get(name, 0)

        computed = grown("llava_prefix_cache_query_tokens_total") - grown("llava_prefix_cache_hit_tokens_total")
        text = grown('llava_prompt_tokens_total{kind="text"}')
        picture = grown('llava_prompt_tokens_total{kind="image"}') / count
        encoded = grown('llava_image_cache_queries_total{level="encoder"}') - grown('llava_image_cache_hits_total{level="encoder"}')
        if grown("llava_requests_finished_total{reason=\"length\"}", before) != count + 1:
            raise SystemExit("questions: the server has counted other answers than were asked for")
        ratio = computed / (picture + text)
        first, cold_first = shared["first_token_ms"]["p50"], cold["first_token_ms"]["p50"]
        details = [f"Questions: {text:.0f} tokens of text and {picture:.0f} of the picture; {computed:.0f} computed, the picture encoded {encoded:.0f} times. "
                   f"The first token came after {first:.0f} ms (median, 8 at a time), {cold_first:.0f} ms for a picture asked about alone and first."]
        return [Figure("questions", f"{count} questions about one picture: tokens computed", f"{computed:.0f}, **{ratio:.2f}** of picture + questions",
                       "<= 1.15", ratio <= 1.15, details=details)]

    # Overload.

    def overload(self):
        """Closed loop for the peak, then an open one at shares of it; each answer has to begin in time to count."""
        queue_seconds, begin_seconds = (0.5, 1.0) if self.arguments.quick else (4.0, 6.0)
        streams, tokens, seconds = 16, 16, self.sizes.overload_seconds
        slo = {"slo_first_token_ms": 1000 * begin_seconds, "ignore_eos": True, "max_tokens": tokens, "image_size": 224}
        figures, lines = [], []
        # Caches that are full before memory is looked at.
        with self.start(self.model(), "--queue-timeout", str(queue_seconds), "--shed-late", "--max-running-requests", str(streams), "--encoder-cache-mb", "16", "--max-draft-tokens", "0") as server:
            self.load.run_whole(server.url, 4 * streams, tokens, concurrency=streams, image_size=224)
            probe = self.load.run(server.url, requests=8 * streams, concurrency=streams, seed=2, **slo)
            capacity = probe["requests_per_second"]
            closed = self.load.run(server.url, requests=max(streams, round(capacity * seconds)), concurrency=streams, seed=3, **slo)
            capacity, peak = closed["requests_per_second"], closed["goodput"]
            start_bytes = None
            for share in (0.5, 1.0, 2.0, 5.0):
                before = server.resident_bytes()
                start_bytes = start_bytes if share < 2 or start_bytes else before
                got = self.load.run(server.url, requests=max(16, round(share * capacity * seconds)), rate=share * capacity, seed=4 + int(share), **slo)
                after = server.resident_bytes()
                refused = sum(number for code, number in got["errors"].items() if code.startswith(("503", "429")))
                other = sum(got["errors"].values()) - refused
                if other:
                    raise SystemExit(f"overload: answers failed otherwise than by refusal: {got['errors']}")
                if share <= 1:
                    peak = max(peak, got["goodput"])
                late = sum(number for code, number in got["errors"].items() if "queue_timeout" in code)
                lines.append([f"{share:g}", f"{got['requests']}", f"{got['ok']}", f"{refused - late} + {late}", f"{got['goodput']:.1f}", f"{got['first_token_ms']['p95']:.0f}",
                              f"{got['refusal_ms']['p95']:.1f} / {got['refusal_ms']['p99']:.1f}", f"{before / 2**20:.1f} / {after / 2**20:.1f}"])
                self.progress(f"overload {share:g}x")
                if share < 2:
                    continue
                kept = got["goodput"] / peak
                delay = got["refusal_ms"]["p95"]
                figures.append(Figure("overload", f"{share:g} times capacity: goodput", f"{got['goodput']:.1f}/s, **{kept:.2f}** of the peak of {peak:.1f}/s",
                                      ">= 0.90", kept >= 0.9))
                figures.append(Figure("overload", f"{share:g} times capacity: refusals, 95 %", f"**{delay:.1f} ms** ({refused} of {got['requests']})",
                                      "<= 50 ms", delay <= 50))
            grown = server.resident_bytes() / start_bytes - 1
        details = [f"Overload: Poisson arrivals for {seconds:g} s at shares of {capacity:.1f} requests/s, which {streams} streams in a closed loop reach; {tokens} tokens an answer; "
                   f"an answer counts when it begins within {begin_seconds:g} s; `--max-running-requests {streams} --queue-timeout {queue_seconds:g} --shed-late`. Goodput: while requests arrive.", "",
                   *report.table(["x capacity", "requests", "whole", "refused at once + after waiting", "goodput /s", "first token 95 %, ms", "refusal 95 / 99 %, ms", "MiB before / after"], lines)]
        figures.append(Figure("overload", "memory at 2 and 5 times capacity", f"**{100 * grown:+.1f} %**", "flat (<= 5 %)", grown <= 0.05, details=details))
        return figures

    # Idle and slow connections.

    def idle(self):
        sizes = self.sizes
        wanted = sizes.idle + sizes.slow + 1024
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < wanted:
            return [Figure("idle", f"{sizes.idle} idle and {sizes.slow} slow connections", f"not measured: this system allows {hard} descriptors, {wanted} are needed",
                           "<= 1.20", None)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        rounds = 1 if self.arguments.quick else 3
        state = self.guard.new_state()

        def take(server, seed):
            return self.load.run_whole(server.url, 8, sizes.active_tokens, concurrency=8, images=0, prompt_words=20, seed=seed)

        with self.start(self.model(), "--max-connections", str(wanted), "--max-draft-tokens", "0", "--max-queued-requests", str(wanted), "--queue-timeout", "0",
                        "--max-running-requests", "64") as server:
            take(server, 100)
            alone = [self.guard.sample(lambda: take(server, seed), [server.pid], state) for seed in range(rounds)]
            self.progress("idle: active ones alone")
            command = [sys.executable, str(Path(__file__).with_name("held_connections.py")), str(server.port), "--idle", str(sizes.idle), "--slow", str(sizes.slow),
                       "--max-tokens", str(sizes.slow_tokens)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
                begun = json.loads(held.stdout.readline() or "{}")
                if not begun:
                    raise SystemExit("idle: the connections could not be made")
                # The slow answers are computed; only their reading goes on.
                while (now := server.metrics())["llava_requests_running"] + now["llava_requests_waiting"] > 0:
                    time.sleep(0.2)
                connections = server.metrics()["llava_http_connections"]
                self.progress(f"idle: {connections:.0f} connections")
                beside = [self.guard.sample(lambda: take(server, seed), [server.pid, held.pid], state) for seed in range(2 * rounds)]
                end = json.loads(held.communicate("")[0])
            alone += [self.guard.sample(lambda: take(server, seed), [server.pid], state) for seed in range(rounds)]
        before, after = (median_of(reports, "between_tokens_ms", "p99") for reports in (alone, beside))
        ratio = after / before
        details = [f"Connections: {connections:.0f} when the eight began, {end['idle_open']} idle and {end['slow_open']} slow ones at the end ({end['reopened']} idle ones closed "
                   f"by the server and opened again, {end['slow_ended']} slow ones ended). Medians between tokens: {median_of(alone, 'between_tokens_ms', 'p50'):.1f} ms alone, "
                   f"{median_of(beside, 'between_tokens_ms', 'p50'):.1f} ms beside them."]
        return [Figure("idle", f"8 active beside {sizes.idle} idle and {sizes.slow} slow connections: between tokens, 99 %",
                       f"{before:.1f} ms alone, {after:.1f} ms beside: **{ratio:.2f}**", "<= 1.20", ratio <= 1.2, remark_of(state), details)]

    # Soak.

    def soak(self):
        requests = self.arguments.requests or self.sizes.soak_requests
        points, descriptors = [], set()
        # A cache of pictures' features that the first requests fill: it is to be full, not to grow.
        with self.start(TINY, "--encoder-cache-mb", "1") as server:
            self.load.run_whole(server.url, max(100, requests // 10), 1, concurrency=8, image_size=28, seed=99)

            def finished():
                return server.metrics()['llava_requests_finished_total{reason="length"}']

            start, begin = finished(), time.monotonic()
            load = subprocess.Popen([self.load.llava, "bench", "serve", "--url", server.url, "--json", "--requests", str(requests), "--concurrency", "8",
                                     "--image-size", "28", "--max-tokens", "1", "--ignore-eos"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            try:
                while load.poll() is None:
                    points.append((finished() - start, server.resident_bytes()))
                    descriptors.add(server.num_descriptors())
                    if len(points) % 60 == 0:
                        self.progress(f"soak {points[-1][0]:.0f}/{requests}")
                    time.sleep(0.1 if self.arguments.quick else 1.0)
                got = json.loads(load.stdout.read())
            finally:
                if load.poll() is None:
                    load.terminate()
                load.wait()
            if got["ok"] != requests or finished() - start != requests:
                raise SystemExit(f"soak: {got['ok']} of {requests} answers are whole: {got['errors']}")
            points.append((requests, server.resident_bytes()))
            seconds = time.monotonic() - begin
            time.sleep(0.5)
            at_end = server.num_descriptors()
        grown = slope(points)
        spread = max(descriptors) - min(descriptors)
        details = [f"Soak: {requests} requests about {requests} pictures in {seconds:.0f} s ({requests / seconds:.0f}/s), behind {max(100, requests // 10)} that are not counted; "
                   f"memory {points[0][1] / 2**20:.1f} MiB at first, {points[-1][1] / 2**20:.1f} MiB at last; {min(descriptors)} to {max(descriptors)} descriptors with 8 connections, {at_end} at the end."]
        return [Figure("soak", f"{requests} picture requests: memory", f"**{grown:+.0f} bytes** a request", "< 1024", grown < 1024, details=details),
                Figure("soak", f"{requests} picture requests: descriptors", f"{min(descriptors)} to {max(descriptors)}", "constant (8 connections come and go)",
                       spread <= 2 * 8 + 2)]

    # Cost of HTTP and scheduling.

    def served_step_ms(self, server, seed, pause):
        """Milliseconds of a step while 16 clients are answered, their contexts being about those of batch:16; nothing
        where the server is done before it can be looked at. It is looked at every `pause` seconds: that costs
        milliseconds on the processors that answer."""
        def steps():
            now = server.metrics()
            return time.monotonic(), now["llava_step_seconds_count"], now["llava_step_batch_size_sum"]

        begin = steps()[1]
        load = subprocess.Popen([self.load.llava, "bench", "serve", "--url", server.url, "--requests", "16", "--concurrency", "16", "--images", "0",
                                 "--prompt-words", "10", "--max-tokens", "128", "--ignore-eos", "--seed", str(seed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = []
        while load.poll() is None:
            now = steps()
            if now[1] - begin >= (FIRST_STEP if not seen else LAST_STEP):
                seen.append(now)
            if len(seen) == 2:
                break
            time.sleep(pause)
        if load.wait() != 0:
            raise SystemExit("cost: the load failed")
        if len(seen) < 2:
            return None
        (start, first, few), (end, last, many) = seen
        return 1000 * (end - start) / (last - first) if many - few == 16 * (last - first) else None

    def cost(self):
        """A step of 16 sequences by the bare model (llava bench), and one of the server that answers 16 clients."""
        model, threads = self.model(), str(self.arguments.threads)
        state = self.guard.new_state()
        bare, served = [], []
        with Program("llava bench", [str(self.arguments.llava), "bench", "--model-path", str(model), "--cases", "-", "--context", "256", "--threads", threads]) as engine, \
                self.start(model, "--max-draft-tokens", "0", "--prefix-cache", "off") as server:
            pids = [engine.pid, server.pid]

            # Both are means: what disturbs single steps disturbs those of both. Pairs are short and many: the
            # processor's own speed changes within a minute by more than what is measured.
            def take_engine():
                return statistics.mean(ms for _ in range(3) for ms in engine.ask("batch:16")["ms"])

            def take_server(seed):
                return self.served_step_ms(server, seed, pause)

            pause = FIRST_STEP * take_engine() / 1000
            take_server(500)
            num_pairs = 3 * self.sizes.pairs
            start_seconds = time_of_children()
            for pair in range(num_pairs):
                bare.append(self.guard.sample(take_engine, pids, state))
                served.append(self.guard.sample(lambda: take_server(pair), pids, state))
                self.progress(f"cost {pair + 1}/{num_pairs}")
            # Before the two that are measured end.
            generator_ms = 1000 * (time_of_children() - start_seconds) / (num_pairs * 128)
        pairs = [(alone, step) for alone, step in zip(bare, served) if step is not None]
        work, goal = "HTTP and scheduling, per token of 16 streams", "<= 3 %"
        if not pairs:
            return [Figure("cost", work, "not measured: the model is too fast to be looked at between steps", goal, None)]
        costs = [100 * (step / alone - 1) for alone, step in pairs]
        cost = statistics.median(costs)
        details = [f"Cost: a step of 16 sequences takes {statistics.median(bare):.2f} ms by `llava bench` (context 64 to 72) and {statistics.median(step for _, step in pairs):.2f} ms in the server (steps "
                   f"{FIRST_STEP} to {LAST_STEP} of 16 answers, context about 45 to 90, by `/metrics` and the clock), while `llava bench serve` reads the answers on the same processors and takes {generator_ms:.2f} ms of them for each step."]
        return [Figure("cost", work, f"**{cost:+.1f} %** ({min(costs):+.1f} to {max(costs):+.1f})", goal, cost <= 3, remark_of(state), details)]

    # Replicas.

    def replicas(self):
        """One replica with all threads beside one for each thread; samples in alternation, each with pictures that neither has seen."""
        streams, count = 16, int(self.arguments.threads)
        requests, tokens = self.sizes.stream_requests[streams], self.sizes.stream_tokens
        state = self.guard.new_state()
        with self.start(self.model(), "--max-draft-tokens", "0") as one, \
                self.start(self.model(), "--max-draft-tokens", "0", "--dp", str(count), name="llava-dp", threads=1) as many:

            def take(server, seed):
                return self.load.run_whole(server.url, requests, tokens, concurrency=streams, image_size=64, seed=seed)

            reports = self.alternate("replicas", (one, many), take, state)
        rates = [b["tokens_per_second"] / a["tokens_per_second"] for a, b in zip(reports[one], reports[many])]
        measured = f"{median_of(reports[many], 'tokens_per_second'):.1f} tok/s, one {median_of(reports[one], 'tokens_per_second'):.1f}: " \
                   f"**{statistics.median(rates):.2f}** ({min(rates):.2f} to {max(rates):.2f})"
        return [Figure("replicas", f"{count} replicas of one thread beside one of {count} threads, {streams} streams with pictures: throughput", measured, "(none)", None,
                       remark_of(state))]

    def measure(self, case):
        if case.startswith("streams-"):
            return self.streams(int(case.rpartition("-")[2]))
        return getattr(self, case)()
