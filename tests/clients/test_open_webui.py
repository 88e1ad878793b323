"""Open WebUI's filter for thumbs, run as Open WebUI runs filters, with the official client in the place of its connection."""

import asyncio
import importlib.util
import inspect
import sys
import types
import unittest

import openai

from server import ROOT, Server

USER = {"id": "0b6f7f4e-AAAA", "name": "ann"}
QUESTION = [{"role": "user", "content": "Write one sentence about the sea."}]


class Rating:
    """A row of Open WebUI's table of feedback."""

    def __init__(self, number, message, rating):
        self.id, self.updated_at = f"f{number}", number
        self.data, self.meta = {"rating": rating}, {"message_id": message, "chat_id": "c"}


class Feedbacks:
    rows = []

    @classmethod
    def get_feedbacks_by_user_id(cls, user):
        return list(reversed(cls.rows)) if user == USER["id"] else []


def stub():
    """The part of Open WebUI that the filter imports."""
    for name in ("open_webui", "open_webui.models", "open_webui.models.feedbacks"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["open_webui.models.feedbacks"].Feedbacks = Feedbacks


async def run(plugin, hook, document, **extra):
    """A filter's hook with those of the parameters that it names, as Open WebUI calls it."""
    handler = getattr(plugin, hook)
    first = "event" if hook == "stream" else "body"
    known = {name: value for name, value in extra.items() if name in inspect.signature(handler).parameters}
    result = handler(**{first: document, **known})
    return await result if inspect.isawaitable(result) else result


class OpenWebUi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stub()
        path = ROOT / "examples/open_webui/trimtab_feedback.py"
        spec = importlib.util.spec_from_file_location("trimtab_feedback", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cls.server = Server("--parallel", 2)
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)
        cls.model = cls.client.models.list().data[0].id
        cls.plugin = module.Filter()
        cls.plugin.valves = module.Filter.Valves(address=cls.server.url + "/v1")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, "".join(cls.server.log)

    def ask(self, message):
        """One question through the filter: what is sent, and the receipt that comes back."""

        async def turn():
            body = {"model": self.model, "messages": QUESTION, "stream": True}
            body = await run(self.plugin, "inlet", body, __user__=USER, __metadata__={"message_id": message})
            steering, receipt = body.pop("steering"), None
            chunks = self.client.chat.completions.create(**body, temperature=0, max_tokens=24, extra_body={"steering": steering})
            for chunk in chunks:
                event = await run(self.plugin, "stream", chunk.model_dump(), __metadata__={"message_id": message})
                receipt = event.get("steering") or receipt
            return steering, receipt

        return asyncio.run(turn())

    def test_a_thumb_is_learnt_before_the_next_answer(self):
        Feedbacks.rows = []
        steering, first = self.ask("m1")
        name = "user-0b6f7f4e-aaaa"
        self.assertEqual(steering["adapt"]["adapter"], name)
        self.assertEqual((first["adapter"]["id"], first["adapter"]["version"]), (name, 0))
        Feedbacks.rows = [Rating(1, "m1", -1), Rating(2, "elsewhere", 1)]
        _, second = self.ask("m2")
        self.assertEqual(second["adapter"]["version"], 1)
        # What was sent is not sent again, and a rating that was taken back says nothing.
        Feedbacks.rows = [Rating(1, "m1", -1), Rating(3, "m2", None)]
        _, third = self.ask("m3")
        self.assertEqual(third["adapter"]["version"], 1)
        Feedbacks.rows.append(Rating(4, "m3", "1"))
        _, fourth = self.ask("m4")
        self.assertGreaterEqual(fourth["adapter"]["version"], 1)
        said = self.server.call("GET", f"/v1/adapters/{name}/versions")[2].decode()
        self.assertIn("fb-", said)

    def test_a_server_that_is_not_there_stops_no_question(self):
        Feedbacks.rows = [Rating(9, "m9", 1)]
        self.plugin.answers["m9"] = "chatcmpl-x"
        address, self.plugin.valves.address = self.plugin.valves.address, "http://127.0.0.1:9/v1"
        try:
            body = asyncio.run(run(self.plugin, "inlet", {"messages": QUESTION}, __user__=USER))
        finally:
            self.plugin.valves.address = address
        self.assertIn("adapt", body["steering"])
        self.assertNotIn("f9", self.plugin.sent)
        # Without a user there is no adapter.
        self.assertNotIn("steering", asyncio.run(run(self.plugin, "inlet", {"messages": QUESTION})))


if __name__ == "__main__":
    unittest.main(verbosity=2)
