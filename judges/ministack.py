"""Serves MiniStack, an independent AWS on loopback, for the laws of the AWS adapter.

Prints one line, {"url": …}, when it answers, and ends when its standard input does, so that it
never outlives whoever started it. Any 12-digit access key is the root user of that account (the
secret key is `test`), so a test takes an account of its own. Buckets have one namespace for all, as
on AWS: name them after the account.

    ministack.py < PIPE
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

READY_SECONDS_MAX = 50
STOP_SECONDS_MAX = 10

SETTINGS = {
    "AUTH": "true",
    # Its own default is every address of the machine.
    "BIND_HOST": "127.0.0.1",
    "SFTP_ENABLED": "0",
    "IOT_MTLS_ENABLED": "0",
    "PERSIST_STATE": "0",
}


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def answers(url):
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2)
        return True
    except urllib.error.HTTPError:
        return True  # a refusal is an answer
    except OSError:
        return False


def main():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = os.path.join(os.path.dirname(sys.executable), "ministack")
    with tempfile.TemporaryDirectory(prefix="ministack-") as home:
        settings = dict(os.environ, GATEWAY_PORT=str(port), HOME=home, **SETTINGS)
        server = subprocess.Popen(
            [program], env=settings, cwd=home, stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
        # A polite end from outside is an end like any other: the server goes first.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            serve(server, url)
        finally:
            server.terminate()
            try:
                server.wait(timeout=STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def serve(server, url):
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not answers(url):
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit("MiniStack does not answer")
        time.sleep(0.1)
    print(json.dumps({"url": url}), flush=True)
    ended = threading.Thread(target=sys.stdin.buffer.read, daemon=True)
    ended.start()
    while ended.is_alive():
        ended.join(timeout=1)
        if server.poll() is not None:
            sys.exit("MiniStack ended by itself")


if __name__ == "__main__":
    main()
