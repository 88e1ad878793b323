"""
title: Trimtab feedback
description: Lets thumbs in Open WebUI teach the model that answers, one adapter for each user.
version: 0.1.0
required_open_webui_version: 0.5.17
"""

# A filter for Open WebUI, whose connection to `trimtab serve` stays an ordinary OpenAI connection. Paste this file in
# Admin panel > Functions, set the address in its valves, and enable it for the served model.
#
# - inlet: before a question goes out, the thumbs that its user has given since are sent to /v1/feedback, and the question
#   gets `steering.adapt` with an adapter of the user's own. So the lesson is learnt before the next answer begins.
# - stream: the id that the server gave an answer is noted beside Open WebUI's id of the message, because thumbs know only
#   the latter.
#
# Open WebUI has no hook for a thumb; its own list of a user's ratings is read instead. An answer that streams can be judged
# for ten minutes, and so long after a restart of Open WebUI as it remembers nothing of before.

import asyncio
import inspect
import json
import logging
import re
import urllib.error
import urllib.request

from pydantic import BaseModel, Field

log = logging.getLogger("trimtab.feedback")

# Answers whose ids are remembered, and thumbs that are not to be sent twice.
MOST = 10_000


class Filter:
    class Valves(BaseModel):
        priority: int = Field(default=0, description="Where in the order of filters it stands")
        address: str = Field(default="http://127.0.0.1:8080/v1", description="Where trimtab serve is")
        key: str = Field(default="none", description="Its key: the one of Open WebUI's connection")
        method: str = Field(default="rosa", description="How a user's adapter learns: rosa, or nothing to create none")
        both: bool = Field(default=True, description="Whether a thumb up teaches too, not only a thumb down")
        seconds: float = Field(default=10.0, description="How long a lesson may take before the question goes out without it")

    def __init__(self):
        self.valves = self.Valves()
        self.answers = {}
        self.sent = {}

    async def inlet(self, body: dict, __user__: dict | None = None) -> dict:
        if not __user__:
            return body
        for rating in await self.ratings(__user__["id"]):
            await self.forward(rating)
        steering = body.setdefault("steering", {})
        steering.setdefault("adapt", self.adapt(__user__["id"]))
        return body

    def stream(self, event: dict, __metadata__: dict | None = None) -> dict:
        message = (__metadata__ or {}).get("message_id")
        if message and isinstance(event.get("id"), str):
            remember(self.answers, message, event["id"])
        return event

    def adapt(self, user: str) -> dict:
        """The adapter of a user: Open WebUI has one key for all of them, so it is named after the user."""
        name = "user-" + re.sub(r"[^a-z0-9_-]", "-", user.lower())
        adapt = {"adapter": name[:64]}
        if self.valves.method == "rosa" and self.valves.both:
            adapt["create"] = {"method": "rosa", "params": {"signs": "both"}}
        elif self.valves.method:
            adapt["create"] = self.valves.method
        return adapt

    async def ratings(self, user: str) -> list:
        """The ratings of a user that are of answers seen here and were not sent yet, oldest first."""
        from open_webui.models.feedbacks import Feedbacks

        found = Feedbacks.get_feedbacks_by_user_id(user)
        found = await found if inspect.isawaitable(found) else found
        new = [one for one in found or [] if self.is_new(one)]
        return sorted(new, key=lambda one: one.updated_at)

    def is_new(self, rating) -> bool:
        message = (rating.meta or {}).get("message_id")
        return message in self.answers and self.sent.get(rating.id) != thumb(rating)

    async def forward(self, rating) -> None:
        said = thumb(rating)
        if said is None:
            return
        body = {"response": self.answers[rating.meta["message_id"]], "thumb": said}
        status, answer = await asyncio.to_thread(self.post, "/feedback", body)
        if status is None or status in (429, 503):
            # Sent with the next question.
            return
        remember(self.sent, rating.id, said)
        log.info("thumb %s: %s %s", said, status, answer.get("status") or answer.get("error", {}).get("code"))

    def post(self, path: str, body: dict) -> tuple:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.valves.key}"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.valves.address.rstrip("/") + path, data, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self.valves.seconds) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")
        except (OSError, ValueError) as error:
            log.warning("feedback was not sent: %s", error)
            return None, {}


def thumb(rating) -> str | None:
    """`up` or `down`; what is taken back is neither."""
    return {"1": "up", "-1": "down"}.get(str((rating.data or {}).get("rating")))


def remember(notes: dict, key: str, value: str) -> None:
    notes[key] = value
    while len(notes) > MOST:
        notes.pop(next(iter(notes)))
