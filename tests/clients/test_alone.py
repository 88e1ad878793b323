"""Thirty-two answers at once, each steered in its own way, are those each would be alone."""

import concurrent.futures
import json
import unittest

from server import VECTORS, Server

PROMPTS = ["Name a river.", "What is bread made of?", "Why is the sky blue?", "How do I boil an egg?"]


def body(number, temperature):
    scale = {"enthusiastic": 6.0, "refusal": 1.0, "concise": 0.12}
    name = VECTORS[number % 3]
    vector = {"id": name, "scale": scale[name] * (0.2 + number / 32)}
    if number % 5 == 0:
        vector["gate"] = {"kind": "decay", "half_life": 16}
    if number % 7 == 0:
        vector["apply"] = {"generation": "all"}
    return {
        "messages": [{"role": "user", "content": PROMPTS[number % 4]}],
        "temperature": temperature,
        "seed": number,
        "max_tokens": 24,
        "steering": {"vectors": [] if number % 11 == 0 else [vector]},
    }


class Alone(unittest.TestCase):
    def test_the_batch_changes_no_token(self):
        with Server("--parallel", 32, "--max-queue", 8) as server:
            model = json.loads(server.call("GET", "/v1/models")[2])["data"][0]["id"]

            def ask(number, temperature):
                status, _, text = server.call("POST", "/v1/chat/completions", {"model": model, **body(number, temperature)})
                assert status == 200, text
                return json.loads(text)["choices"][0]["message"]["content"]

            for temperature in (0.0, 0.8):
                with concurrent.futures.ThreadPoolExecutor(32) as pool:
                    together = list(pool.map(lambda number: ask(number, temperature), range(32)))
                alone = [ask(number, temperature) for number in range(32)]
                self.assertEqual(together, alone)
                self.assertGreater(len(set(alone)), 12)


if __name__ == "__main__":
    unittest.main(verbosity=2)
