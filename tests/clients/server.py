"""Starts the real server for the client tests, and stops it again."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("TRIMTAB", str(ROOT / "target/release/trimtab"))
VECTORS = ["enthusiastic", "refusal", "concise"]


class Server:
    """`trimtab serve` on a free port of this machine."""

    def __init__(self, *flags, state=None):
        vectors = [f"--vector={name}={ROOT}/examples/vectors/{name}.safetensors" for name in VECTORS]
        keep = ["--state-dir", str(state)] if state else ["--no-state"]
        command = [PROGRAM, "serve", "--port", "0", *vectors, *keep, *map(str, flags)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.url = None
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(180) or self.url is None:
            self.process.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.log))

    def _read(self):
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)
                found = re.search(r"http://[0-9.]+:\d+", line)
                if found and self.url is None:
                    self.url = found.group(0)
                    self._ready.set()
        self._ready.set()

    def call(self, method, path, body=None, headers=None):
        """Status, headers and body of one request."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def metric(self, name):
        """The value of a metric without labels, or the sum over its labels."""
        text = self.call("GET", "/metrics")[2].decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        of = [float(value) for key, value in lines if key.split("{")[0] == name]
        if not of:
            raise KeyError(name)
        return sum(of)

    def wait_idle(self, seconds=5.0):
        """Seconds until no answer runs."""
        began = time.monotonic()
        while self.metric("trimtab_active_sequences") > 0:
            if time.monotonic() - began > seconds:
                raise AssertionError(f"an answer still runs after {seconds} s")
            time.sleep(0.005)
        return time.monotonic() - began

    def stop(self, with_signal=signal.SIGTERM):
        """Ends it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
