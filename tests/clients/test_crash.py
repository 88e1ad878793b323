"""Killed while it writes, the server comes back with everything it had promised to keep, and replays it."""

import json
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import unittest

from server import PROGRAM, ROOT, Server

ADMIN = {"authorization": "Bearer boss"}
FLAGS = ["--admin-key", "boss", "--admin", "--store-traces"]
ROUNDS = 4


class Crash(unittest.TestCase):
    def test_nothing_that_was_promised_is_lost(self):
        draw = random.Random(7)
        vector = (ROOT / "examples/vectors/concise.safetensors").read_bytes()
        promised, receipts, version = set(), [], 0
        with tempfile.TemporaryDirectory() as folder:
            for number in range(ROUNDS):
                server = Server(*FLAGS, state=folder)
                model = json.loads(server.call("GET", "/v1/models", headers=ADMIN)[2])["data"][0]["id"]
                listed = json.loads(server.call("GET", "/v1/steering/vectors", headers=ADMIN)[2])["data"]
                self.assertLessEqual(promised, {entry["id"] for entry in listed})
                found = json.loads(server.call("GET", "/v1/steering", headers=ADMIN)[2])
                self.assertGreaterEqual(found["version"], version)
                self.kill_soon(server, draw.uniform(0.3, 1.5))
                try:
                    for attempt in range(1000):
                        name = f"v{number}-{attempt}"
                        if server.call("PUT", f"/v1/steering/vectors/{name}", vector, {**ADMIN, "content-type": "application/octet-stream"})[0] == 201:
                            promised.add(name)
                        presets = {"p": {"vectors": [{"id": "concise", "scale": attempt / 1000}]}}
                        change = {"expected_version": found["version"], "default": None, "locked": False, "presets": presets}
                        status, _, text = server.call("PUT", "/v1/steering", change, ADMIN)
                        if status == 200:
                            found = json.loads(text)
                            version = found["version"]
                        receipts.append(self.answer(server, model, attempt))
                except OSError:
                    pass
                server.stop(signal.SIGKILL)
            self.assertGreater(len(promised), ROUNDS)
            self.assertGreater(len(receipts), 0)
            with Server(*FLAGS, state=folder) as server:
                for response in receipts[-3:]:
                    self.replays(server, folder, response)

    def kill_soon(self, server, seconds):
        threading.Timer(seconds, lambda: server.process.send_signal(signal.SIGKILL)).start()

    def answer(self, server, model, seed):
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "Name three rivers."}],
            "temperature": 0.9,
            "seed": seed,
            "max_tokens": 12,
            "steering": {"receipt": "full", "vectors": [{"id": "enthusiastic", "scale": 4.0}]},
        }
        status, _, text = server.call("POST", "/v1/chat/completions", body, ADMIN)
        assert status == 200, text
        return json.loads(text)

    def replays(self, server, folder, response):
        said = response["choices"][0]["message"]["content"]
        again = server.call("POST", "/v1/chat/completions", response["steering"]["request"], ADMIN)
        self.assertEqual(json.loads(again[2])["choices"][0]["message"]["content"], said)
        file = pathlib.Path(folder) / "receipt.json"
        file.write_text(json.dumps(response))
        vector = f"enthusiastic={ROOT}/examples/vectors/enthusiastic.safetensors"
        done = subprocess.run(
            [PROGRAM, "generate", "--replay", str(file), "--vector", vector], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.rstrip("\n"), said.rstrip("\n"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
