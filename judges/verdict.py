"""What every judge shares: how it starts the judged program, and how it says what it saw.

A judge says each thing that must hold, in words, and closes with one line, `held N, broken M`,
which ./test adds up. A judge that hangs is ended by its own watchdog, and that is red.
"""

import json
import signal
import subprocess
import sys
import threading
import traceback

SECONDS_MAX = 600
LINE_CHARACTERS_MAX = 500


class Verdict:
    """Counts what held and what broke. Use as a context manager around everything."""

    def __init__(self):
        self.held = 0
        self.broken = 0

    def __enter__(self):
        signal.signal(signal.SIGALRM, self._too_long)
        signal.alarm(SECONDS_MAX)
        return self

    def __exit__(self, kind, error, trace):
        signal.alarm(0)
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exception(kind, error, trace)
            self.broken += 1
        print(f"held {self.held}, broken {self.broken}", flush=True)
        sys.exit(1 if self.broken or not self.held else 0)

    def _too_long(self, _signal, _frame):
        raise TimeoutError(f"the judge ran for more than {SECONDS_MAX} s")

    def holds(self, what, condition, seen=None):
        """One thing that must be true; `seen` is shown when it is not."""
        if condition:
            self.held += 1
        else:
            self.broken += 1
            shown = "" if seen is None else f": {seen!r}"[:LINE_CHARACTERS_MAX]
            print(f"BROKEN {what}{shown}", flush=True)
        return bool(condition)

    def equal(self, what, seen, expected):
        """One value that must be exactly this."""
        return self.holds(what, seen == expected, f"saw {seen!r}, expected {expected!r}")

    def refused(self, what, error_type, act):
        """One act that must fail with this error; the error comes back."""
        try:
            result = act()
        except error_type as error:
            self.held += 1
            return error
        except Exception as error:  # another refusal than the one that was meant
            self.holds(what, False, error)
            return None
        self.holds(what, False, f"was not refused: {result!r}")
        return None


class Served:
    """A program that prints one line of JSON when it is ready, and serves until it is ended."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command[0]} ended before it was ready")
        return json.loads(line)

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError(f"{self.command[0]} did not end when it was told to") from None


class Answering:
    """A program that answers each line of JSON with one line of JSON."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def ask_all(self, questions):
        """All answers in order; questions are written while answers are read."""
        questions = list(questions)

        def write():
            for question in questions:
                self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        answers = [self.answer() for _ in questions]
        writer.join()
        return answers

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"`{self.process.args[0]}` ended in the middle")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)
