"""Tests of compare and alternate.py with programs that answer made-up seconds.

    python benchmarks/peers/test_compare.py
"""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

COMPARE = pathlib.Path(__file__).resolve().parent / "compare"
ALTERNATE = COMPARE.parent / "alternate.py"

# Says 2 s as glomseg, 6 s as PyTorch, 4 s as PyTorch in channels_last; notes that it was started.
STUB = """#!{python}
import json, sys
open({starts!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
seconds = 2.0 if "bench" in sys.argv else 4.0 if "channels_last" in sys.argv else 6.0
if "--serve" in sys.argv:
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({{"seconds": seconds}}), flush=True)
elif {fails!r}:
    sys.exit(3)
else:
    print(json.dumps({{"seconds": [seconds], "seconds_median": seconds}}))
"""


class CompareTests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.starts = pathlib.Path(self.folder.name) / "starts"

    def compare(self, *flags, fails=False):
        stub = pathlib.Path(self.folder.name) / "stub"
        stub.write_text(STUB.format(python=sys.executable, starts=str(self.starts), fails=fails))
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
        return subprocess.run([sys.executable, str(COMPARE), "--pause", "0", "--ours", str(stub), "--python", str(stub), *flags],
                              capture_output=True, text=True)

    def test_the_better_format_counts(self):
        result = self.compare("--formats", "both")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("4.0000 s of PyTorch channels_last", result.stdout)
        self.assertIn("PyTorch / glomseg = 2.000 (pairs from 2.000 to 2.000)", result.stdout)
        self.assertEqual(len(self.starts.read_text().splitlines()), 3)

    def test_fresh_starts_each_step_alone(self):
        result = self.compare("--fresh", "--inference")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("PyTorch / glomseg = 3.000", result.stdout)
        starts = self.starts.read_text().splitlines()
        self.assertEqual(len(starts), 10)
        self.assertTrue(all("--inference" in start for start in starts))
        self.assertEqual([start.startswith("bench step") for start in starts], [True, False] * 5)

    def test_a_program_that_fails_is_named(self):
        result = self.compare("--fresh", fails=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("glomseg ended with status 3", result.stderr)


# Logs each step; the peer's steps take 1, 2, 3... times as long as the number that the first command has.
TURNS = """
import json, os, sys, time
name, seconds = sys.argv[1], float(sys.argv[2])
print("ready", flush=True)
for index, line in enumerate(sys.stdin):
    if name == "dies" and index == 2:
        sys.exit("torch: no memory is left")
    if name == "stalls" and index == int(os.environ["STALLS"]):
        time.sleep(60)
    open({turns!r}, "a").write(name)
    more = index if name == "b" else 1
    print(json.dumps({{"seconds": seconds * more, "patch": 32, "precision": name}}), flush=True)
"""


class AlternateTests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.turns = pathlib.Path(self.folder.name) / "turns"

    def command(self, peer, *flags):
        stub = pathlib.Path(self.folder.name) / "stub.py"
        stub.write_text(TURNS.format(turns=str(self.turns)))
        return [sys.executable, str(ALTERNATE), *flags, sys.executable, str(stub), "a", "0.5", "--", str(stub), peer, "1"]

    def alternate(self, peer, *flags):
        return subprocess.run(self.command(peer, *flags), capture_output=True, text=True)

    def test_steps_go_in_turn(self):
        result = self.alternate("b", "--pairs", "5")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.turns.read_text(), "ab" * 6)
        answer = json.loads(result.stdout.splitlines()[-1])
        self.assertEqual((answer["pairs"], answer["patch"]), (5, 32))
        # The pair that does not count had b's step 0; then 1, 2, 3, 4, 5 s against 0.5 s.
        self.assertEqual((answer["ratio"], answer["ratio_min"], answer["ratio_max"]), (6.0, 2.0, 10.0))
        self.assertEqual(answer["peer"]["seconds"], [1, 2, 3, 4, 5])
        self.assertEqual(answer["ours"]["precision"], "a")

    def test_three_pairs_are_timed_where_time_is_short(self):
        answer = json.loads(self.alternate("b", "--seconds", "0").stdout.splitlines()[-1])
        self.assertEqual(answer["pairs"], 3)

    def test_what_is_told_to_stop_keeps_its_pairs(self):
        # To the whole group, as a report does: both programs are told too.
        for pairs, status in [(4, 0), (1, 1)]:
            self.turns.unlink(missing_ok=True)
            process = subprocess.Popen(self.command("stalls", "--pairs", "50"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True, start_new_session=True, env={**os.environ, "STALLS": str(pairs + 1)})
            # The pair that does not count, those that do, and ours of the one that stalls.
            deadline = time.monotonic() + 60
            while not self.turns.exists() or len(self.turns.read_text()) < len("astalls") * (pairs + 1) + 1:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            time.sleep(0.2)
            os.killpg(process.pid, signal.SIGTERM)
            out, said = process.communicate(timeout=30)
            self.assertEqual(process.returncode, status, said)
            if status == 0:
                answer = json.loads(out.splitlines()[-1])
                self.assertEqual((answer["pairs"], len(answer["ours"]["seconds"]), len(answer["peer"]["seconds"])), (4, 4, 4))
            else:
                self.assertIn("stopped after 1 of at least 3 pairs", said)

    def test_what_the_other_said_is_the_reason(self):
        result = self.alternate("dies")
        self.assertEqual(result.returncode, 1)
        self.assertIn("PyTorch ended with status 1 before it answered: torch: no memory is left", result.stderr.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
