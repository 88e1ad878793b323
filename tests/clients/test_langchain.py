"""LangChain's client of the older route, which sends every prompt as a list."""

import json
import unittest

from langchain_openai import OpenAI

from server import Server

PROMPTS = ["The capital of France is", "Two and two make", "The opposite of hot is"]


class LangChain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--parallel", 2, "--any-model")
        cls.model = OpenAI(
            base_url=cls.server.url + "/v1", api_key="none", model="gpt-3.5-turbo-instruct", temperature=0, max_tokens=6
        )

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, "".join(cls.server.log)

    def test_one_prompt(self):
        self.assertIn("Paris", self.model.invoke(PROMPTS[0]))

    def test_a_batch_is_what_its_prompts_are_alone(self):
        alone = [self.model.invoke(prompt) for prompt in PROMPTS]
        self.assertEqual(self.model.batch(PROMPTS), alone)
        self.assertEqual(self.model.batch(PROMPTS * 8), alone * 8)

    def test_a_stream(self):
        self.assertEqual("".join(self.model.stream(PROMPTS[0])), self.model.invoke(PROMPTS[0]))

    def test_several_answers_to_several_prompts(self):
        several = OpenAI(
            base_url=self.server.url + "/v1", api_key="none", model="any", temperature=1, max_tokens=6, n=2, best_of=2, seed=5
        )
        found = several.generate(PROMPTS)
        self.assertEqual([len(answers) for answers in found.generations], [2, 2, 2])
        self.assertEqual(found.llm_output["token_usage"]["prompt_tokens"], sum(len(self.tokens(p)) for p in PROMPTS))

    def tokens(self, text):
        return json.loads(self.server.call("POST", "/tokenize", {"content": text})[2])["tokens"]


if __name__ == "__main__":
    unittest.main(verbosity=2)
