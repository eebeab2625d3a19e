#!/usr/bin/env python3
"""Times two programs alternately, in one run on one machine: A B A B, so that a change in the machine's speed meets both.

    python alternate.py --pairs 20 --seconds 10 glomseg bench step --patch 256 -- torch_step.py --patch 256 --device cuda

Both start, warm up and wait: each prints "ready", then answers each line "step" with one line of JSON that holds "seconds".
--serve is added to both commands, and a second command that ends in .py is run by this Python. Prints each pair, and at
the end one JSON line with both medians, their ratio second / first, and the least and greatest ratio of a pair. Told to stop
(SIGTERM), it ends so after the pairs that it has, if there are three.

Needs nothing but Python's own library; benchmarks/peers/compare and `glomseg node-report` use it.
"""

import argparse
import json
import pathlib
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time


# Pairs that make a ratio.
LEAST = 3


def fail(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {text}")


class Program:
    """A program that is to be timed. A subclass says how a step's answer is got."""

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.answers = []
        self.said = tempfile.TemporaryFile("w+")

    def step(self):
        line = self.answer()
        try:
            answer = json.loads(line)
            # A process of its own reports the median of its one step.
            self.answers.append((float(answer["seconds_median" if "seconds_median" in answer else "seconds"]), answer))
        except (ValueError, KeyError, TypeError):
            fail(f"{self.name} answered '{line}' instead of JSON with \"seconds\".")
        return self.answers[-1][0]

    def start(self, **pipes):
        try:
            return subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.said, text=True, **pipes)
        except OSError as error:
            fail(f"cannot start {self.name} ({shlex.join(self.command)}): {error.strerror}.")

    def ended(self, process):
        """Ends this program too: with all that the other said, and its last line as the reason."""
        status = process.wait()
        self.said.seek(0)
        said = self.said.read().strip()
        if said:
            print(said, file=sys.stderr)
        last = f": {said.splitlines()[-1].strip()}" if said else ""
        fail(f"{self.name} ended with status {status} before it answered{last} ({shlex.join(self.command)})")

    def stop(self):
        pass

    @property
    def seconds(self):
        return [seconds for seconds, _ in self.answers]

    def record(self):
        """Its seconds, and what it said of itself beside them in its last answer."""
        said = {key: value for key, value in self.answers[-1][1].items() if not key.startswith("seconds") or key in
                ("seconds_load", "seconds_first")}
        return {**said, "seconds": self.seconds, "seconds_median": statistics.median(self.seconds)}


class Served(Program):
    """Started once; runs one step for each line "step"."""

    def __init__(self, name, command):
        super().__init__(name, command + ["--serve"])
        self.process = self.start(stdin=subprocess.PIPE)
        line = self.read()
        if line != "ready":
            self.stop()
            fail(f"the first line of {name} should be 'ready', not '{line}'.")

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.ended(self.process)
        return line.strip()

    def answer(self):
        try:
            self.process.stdin.write("step\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.ended(self.process)
        return self.read()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Fresh(Program):
    """Started anew for each step: one step to warm up, one that counts."""

    def __init__(self, name, command, flags):
        super().__init__(name, command + flags)

    def answer(self):
        process = self.start()
        out, _ = process.communicate()
        if process.returncode != 0 or not out:
            self.ended(process)
        return out.strip().splitlines()[-1]


def pair_ratios(ours, peer):
    """Of the medians, and the least and the greatest of a pair; above 1, ours is faster."""
    ratios = [theirs / own for own, theirs in zip(ours.seconds, peer.seconds)]
    return {
        "ratio": statistics.median(peer.seconds) / statistics.median(ours.seconds),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="at most (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="begin no further pair after that long; 3 are timed anyway")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND -- COMMAND")
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    arguments, peer = parser.parse_args(words[:split]), words[split + 1:]
    ours = arguments.command
    if arguments.pairs < LEAST:
        parser.error(f"--pairs must be at least {LEAST}.")
    if not ours or not peer:
        parser.error("two commands, with -- between them.")
    return arguments, ours, [sys.executable] * peer[0].endswith(".py") + peer


class Stopped(Exception):
    pass


def stop(number, frame):
    raise Stopped


def main():
    arguments, ours, peer = parse_arguments()
    ours, peer = Served("glomseg", ours), Served("PyTorch", peer)
    # One pair that does not count: the first steps side by side share caches and clocks as no later ones do.
    for program in (ours, peer):
        program.step()
        program.answers.clear()
    start = time.monotonic()
    print("pair  glomseg, s  PyTorch, s")
    signal.signal(signal.SIGTERM, stop)
    try:
        for index in range(arguments.pairs):
            if index >= LEAST and time.monotonic() - start > arguments.seconds:
                break
            seconds = [program.step() for program in (ours, peer)]
            print(f"{index + 1:>4}  " + "  ".join(f"{value:>10.6f}" for value in seconds), flush=True)
    except Stopped:
        pairs = len(peer.answers)
        if pairs < LEAST:
            fail(f"stopped after {pairs} of at least {LEAST} pairs.")
        del ours.answers[pairs:]
        for program in (ours, peer):
            program.process.kill()
    else:
        for program in (ours, peer):
            program.stop()
    ours_record, peer_record = ours.record(), peer.record()
    sizes = {key: peer_record.get(key) for key in ("patch", "base", "batch")}
    print(json.dumps({"benchmark": "pairs", **sizes, "pairs": len(ours.seconds), **pair_ratios(ours, peer),
                      "ours": ours_record, "peer": peer_record}))


if __name__ == "__main__":
    main()
