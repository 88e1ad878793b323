"""The whole loop with the official client: ask, judge, ask again, see what was learnt, undo it. And kills while it is published."""

import json
import random
import signal
import tempfile
import threading
import time
import unittest

import openai

from server import Server

QUESTION = [{"role": "user", "content": "Write one sentence about the sea."}]
LESSONS = 12
ROUNDS = 4


class Learning(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--parallel", 2)
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)
        cls.model = cls.client.models.list().data[0].id

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, "".join(cls.server.log)

    def ask(self, adapt, **more):
        more = {"temperature": 0, "seed": 7, "max_tokens": 32, "logprobs": True, "messages": QUESTION, **more}
        return self.client.chat.completions.create(model=self.model, **more, extra_body={"steering": {"adapt": adapt}})

    def say(self, body):
        return self.client.post("/feedback", body=body, cast_to=object)

    def test_ask_judge_ask_again_and_undo(self):
        adapt = {"adapter": "alice", "create": "rosa"}
        first = self.ask(adapt)
        self.assertEqual(first.steering["adapter"], {"id": "alice", "version": 0, "learn": True, "behind": False})
        text, likely = first.choices[0].message.content, [t.logprob for t in first.choices[0].logprobs.content]
        answer = first
        for _ in range(LESSONS):
            report = self.say({"response": answer.id, "choice": 0, "reward": -1.0})
            self.assertEqual(report["status"], "applied", report)
            self.assertLessEqual(report["step"]["kl"], report["step"]["kl_limit"])
            answer = self.ask(adapt)
            self.assertEqual(answer.steering["adapter"]["version"], report["adapter"]["version"])
            if answer.choices[0].message.content != text:
                break
        self.assertNotEqual(answer.choices[0].message.content, text)
        taught = answer.steering["adapter"]["version"]
        self.assertEqual(self.say({"response": first.id, "choice": 0, "reward": -1.0})["duplicate"], True)
        with self.assertRaises(openai.ConflictError) as other:
            self.say({"response": first.id, "choice": 0, "reward": 1.0})
        self.assertEqual(other.exception.body["code"], "feedback_exists")
        undone = self.client.post("adapters/alice/revert", body={"to": 0}, cast_to=object)
        self.assertEqual(undone, {"adapter": "alice", "from": taught, "version": taught + 1, "restores": 0})
        again = self.ask(adapt)
        self.assertEqual(again.choices[0].message.content, text)
        self.assertEqual([t.logprob for t in again.choices[0].logprobs.content], likely)
        self.assertEqual(again.steering["adapter"]["version"], taught + 1)
        versions = self.client.get("adapters/alice/versions", cast_to=object)["data"]
        self.assertEqual([v["cause"] for v in versions][-2:], ["feedback", "revert"])
        older = self.ask({"adapter": "alice", "version": taught})
        self.assertEqual(older.choices[0].message.content, answer.choices[0].message.content)
        gone = self.client.delete("adapters/alice", cast_to=object)
        self.assertEqual(gone, {"id": "alice", "object": "adapter", "deleted": True})
        with self.assertRaises(openai.NotFoundError):
            self.ask({"adapter": "alice"})

    def test_a_duel_is_decided(self):
        arms = [{"name": "plain"}, {"name": "short", "instruction": "Answer in at most five words."}]
        adapt = {"adapter": "taste", "create": {"method": "tpop", "arms": arms}}
        body = {"model": self.model, "messages": QUESTION, "max_tokens": 24, "temperature": 0, "steering": {"adapt": adapt}}
        for _ in range(3):
            duel = self.client.post("/duels", body=body, cast_to=object)
            self.assertEqual({c["setting"] for c in duel["choices"]}, {"plain", "short"})
            place = [c["setting"] for c in duel["choices"]].index("short")
            time.sleep(0.4)  # a choice that comes at once is taken for none
            report = self.client.post(f"duels/{duel['id']}/choice", body={"choice": place}, cast_to=object)
            self.assertEqual(report["bandit"]["updated"], True, report)
        ranked = self.client.get("adapters/taste", cast_to=object)
        self.assertEqual(ranked["arms"][0]["name"], "short")
        answer = self.ask({"adapter": "taste"})
        self.assertEqual(answer.steering["adapter"]["taste"]["setting"], "short")


class KilledWhileItPublishes(unittest.TestCase):
    def test_there_is_the_old_version_or_the_new_one(self):
        draw = random.Random(3)
        adapt = {"adapter": "a", "create": {"method": "rosa", "params": {"max_updates": 1000}}}
        with tempfile.TemporaryDirectory() as folder:
            told, answers = 0, {}
            for _ in range(ROUNDS):
                server = Server(state=folder)
                told, answers = self.holds(server, told, answers)
                try:
                    for lesson in range(1000):
                        answer = self.ask(server, adapt)
                        answers[answer["steering"]["adapter"]["version"]] = said(answer)
                        report = self.call(server, "POST", "/v1/feedback", {"response": answer["id"], "reward": -1.0})
                        told = max(told, report["adapter"]["version"])
                        if lesson == 0:  # before it, the model is measured
                            self.kill_soon(server, draw.uniform(0.1, 2.0))
                except OSError:
                    pass
                server.stop(signal.SIGKILL)
            self.assertGreater(told, 0)
            with Server(state=folder) as server:
                self.holds(server, told, answers)

    def kill_soon(self, server, seconds):
        threading.Timer(seconds, lambda: server.process.send_signal(signal.SIGKILL)).start()

    def holds(self, server, told, answers):
        """Every version that was told is there and answers as it did; at most one more is, whose telling was cut short."""
        if told == 0:
            return told, answers
        newest = self.call(server, "GET", "/v1/adapters/a")["version"]
        self.assertIn(newest, (told, told + 1))
        versions = [v["version"] for v in self.call(server, "GET", "/v1/adapters/a/versions")["data"]]
        self.assertEqual([v for v in versions if v > 0], list(range(1, newest + 1)))
        for version in list(answers)[-3:]:
            self.assertEqual(said(self.ask(server, {"adapter": "a", "version": version})), answers[version])
        return newest, answers

    def ask(self, server, adapt):
        body = {"model": "smollm2-135m-instruct", "messages": QUESTION, "temperature": 0, "max_tokens": 12, "steering": {"adapt": adapt}}
        return self.call(server, "POST", "/v1/chat/completions", body)

    def call(self, server, method, path, body=None):
        status, _, text = server.call(method, path, body)
        self.assertEqual(status, 200, text)
        return json.loads(text)


def said(answer):
    return answer["choices"][0]["message"]["content"]


if __name__ == "__main__":
    unittest.main(verbosity=2)
