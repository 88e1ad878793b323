"""Hostile clients beside honest ones, for as long as one likes: `python tests/clients/soak.py --minutes 10`.

Eight clients stream answers that are known beforehand. Around them others send a megabyte of digits, put bytes behind
their bodies, send half a request, read slowly or not at all, speak no HTTP, hold 500 idle connections, and leave at every
stage. It fails if an honest answer is not whole, if one of the honest clients gets none, if any status is answered that
is not documented, if a row outlives its client, if memory grows beyond its limit, or if the server does not end well.

Run by hand, with a release build; not a part of .ci/run.
"""

import argparse
import collections
import http.client
import json
import random
import socket
import struct
import sys
import threading
import time
import urllib.parse

from server import Server

# What the server may say. 431 is hyper's own, for headers that are too long.
DOCUMENTED = {200, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 431, 503, 504}
HONEST = 8
IDLE = 500
PARALLEL = 12
MEGABYTE = 1 << 20
# A row has to be free within one step; the rest is for the machine that the client shares with the server.
LATE_S = 1.0
# Keys and values grow up to this, and are a part of what memory grows by.
KV_MEMORY = "256M"
CHAT = "/v1/chat/completions"


class Soak:
    """What all clients share."""

    def __init__(self, server, until):
        where = urllib.parse.urlsplit(server.url)
        self.server, self.address, self.until = server, (where.hostname, where.port), until
        self.model = json.loads(server.call("GET", "/v1/models")[2])["data"][0]["id"]
        self.lock = threading.Lock()
        self.statuses = collections.Counter()
        self.done = collections.Counter()
        self.failures = []

    def over(self):
        return time.monotonic() >= self.until or len(self.failures) > 20

    def fail(self, what):
        with self.lock:
            self.failures.append(what)

    def note(self, what, status=None):
        with self.lock:
            self.done[what] += 1
            if status is not None:
                self.statuses[status] += 1
                if status not in DOCUMENTED:
                    self.failures.append(f"{what}: status {status}")

    def body(self, content="Tell me a very long story.", **more):
        messages = [{"role": "user", "content": content}]
        return json.dumps({"model": self.model, "messages": messages, **more}).encode()

    def connect(self):
        return socket.create_connection(self.address, timeout=60)


def head(body, path=CHAT, length=None, more=""):
    length = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n"
    ).encode()


def leave(sock, draw):
    """With a FIN or with a RST."""
    if draw.random() < 0.5:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def status_of(sock):
    """The status of an answer; None where the server has closed the connection without one."""
    line = sock.makefile("rb").readline()
    return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else None


# Clients that do nothing wrong.


def ask_stream(soak, number):
    """One streamed answer: its status and its text, whole or not at all."""
    connection = http.client.HTTPConnection(*soak.address, timeout=300)
    asked = soak.body(
        f"Name {number + 2} animals.", stream=True, max_tokens=48, seed=number, temperature=0.8,
        stream_options={"include_usage": True},
    )
    connection.request("POST", CHAT, asked, {"content-type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        answer.read()
        connection.close()
        return answer.status, None
    text, reason, usage, last = "", None, None, None
    for line in answer:
        line = line.rstrip(b"\n")
        if not line or line.startswith(b":"):
            continue
        last = line.removeprefix(b"data: ")
        if last == b"[DONE]":
            continue
        chunk = json.loads(last)
        if "error" in chunk:
            raise AssertionError(f"an error in an honest stream: {chunk}")
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
    connection.close()
    if last != b"[DONE]" or reason is None or usage is None:
        raise AssertionError(f"an honest stream ended after {len(text)} letters: {last}, {reason}, {usage}")
    return 200, text


def honest(soak, number, expected):
    while not soak.over():
        try:
            status, text = ask_stream(soak, number)
        except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
            soak.fail(f"honest {number}: {error!r}")
            continue
        soak.note("honest", status)
        if status == 200 and text != expected:
            soak.fail(f"honest {number}: another answer than alone: {text!r}")
        elif status == 200:
            soak.note(f"honest {number}, whole")
        if status != 200:
            soak.note("honest, told to come again")
            time.sleep(0.5)


# Clients that do. Each does its thing once.


def leaves_in_the_head(soak, draw):
    with soak.connect() as sock:
        whole = head(b"")
        sock.sendall(whole[: draw.randrange(1, len(whole))])
        time.sleep(draw.random() / 10)
        leave(sock, draw)


def leaves_in_the_body(soak, draw):
    with soak.connect() as sock:
        body = soak.body("x" * draw.choice([10, 200_000]))
        sock.sendall(head(body) + body[: draw.randrange(len(body))])
        time.sleep(draw.random() / 10)
        leave(sock, draw)


def leaves_behind_its_body(soak, draw):
    with soak.connect() as sock:
        body = soak.body(logit_bias={"2": -100}, stream=draw.random() < 0.3)
        behind = draw.choice([b"", b"\r\n", b"x", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"y" * 100_000])
        sock.sendall(head(body) + body)
        time.sleep(draw.random())
        sock.sendall(behind)
        time.sleep(draw.random() / 5)
        leave(sock, draw)


def leaves_in_the_stream(soak, draw):
    with soak.connect() as sock:
        body = soak.body(stream=True, n=draw.choice([1, 1, 2]))
        sock.sendall(head(body) + body)
        for _ in range(draw.randrange(6)):
            sock.recv(400)
        leave(sock, draw)


def reads_slowly(soak, draw):
    with soak.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        body = soak.body(stream=True, max_tokens=400)
        sock.sendall(head(body) + body)
        for _ in range(8):
            if soak.over() or not sock.recv(1):
                break
            time.sleep(1)
        leave(sock, draw)


def sends_a_megabyte(soak, draw):
    letter = draw.choice(["1", "a", " ", "word ", "é"])
    text = letter * (MEGABYTE // len(letter.encode()))
    path = draw.choice([CHAT, "/v1/completions", "/tokenize", "/apply-template", "/v1/embeddings"])
    bodies = {
        CHAT: {"messages": [{"role": "user", "content": text}], "max_tokens": 1},
        "/v1/completions": {"prompt": text, "max_tokens": 1},
        "/tokenize": {"content": text},
        "/apply-template": {"messages": [{"role": "user", "content": text}]},
        "/v1/embeddings": {"input": [text]},
    }
    body = json.dumps({"model": soak.model, **bodies[path]}).encode()
    with soak.connect() as sock:
        sock.sendall(head(body, path) + body)
        if draw.random() < 0.3:
            leave(sock, draw)
        else:
            soak.note("a megabyte", status_of(sock))


def sends_too_much(soak, draw):
    path, length = draw.choice([("/nowhere", 5 * MEGABYTE), (CHAT, 5 * MEGABYTE), (CHAT, 40 * MEGABYTE)])
    with soak.connect() as sock:
        try:
            sock.sendall(head(b"", path, length) + b"x" * length)
            soak.note("too much", status_of(sock))
        except OSError as error:
            if length < 16 * MEGABYTE:
                soak.fail(f"{path}, a body of {length} bytes: {error!r} in the place of an answer")


def speaks_no_sense(soak, draw):
    deep = b'{"model":"x","messages":' + b"[" * 100_000
    many = json.dumps({"model": soak.model, "messages": [], "logit_bias": {str(i): 1 for i in range(40_000)}}).encode()
    words = json.dumps({"model": soak.model, "messages": [{"role": "user", "content": "x"}], "n": 10**9, "stop": ["a"] * 10**4}).encode()
    flood = "".join(f"x-{i}: {'y' * 900}\r\n" for i in range(draw.choice([90, 200])))
    sent = draw.choice([
        draw.randbytes(2000),
        b"GET / HTTP/9.9\r\n\r\n",
        head(b"{}", more=flood) + b"{}",
        b"GET /v1/steering/audit?" + b"a=b&" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        *(head(body) + body for body in (deep, many, words)),
    ])
    with soak.connect() as sock:
        sock.settimeout(15)
        sock.sendall(sent)
        status = status_of(sock)
        if status is not None:
            soak.note("no sense", status)


HOSTILE = [
    leaves_in_the_head, leaves_in_the_body, leaves_behind_its_body, leaves_behind_its_body, leaves_in_the_stream,
    reads_slowly, sends_a_megabyte, sends_too_much, speaks_no_sense,
]


def hostile(soak, seed):
    draw = random.Random(seed)
    while not soak.over():
        act = draw.choice(HOSTILE)
        try:
            act(soak, draw)
        except OSError:
            # Being thrown out is what it has to expect.
            soak.note("thrown out")
        soak.note(act.__name__)


def idle(soak):
    """One peer with many connections that say nothing."""
    held = []
    try:
        while not soak.over():
            while len(held) < IDLE and not soak.over():
                held.append(soak.connect())
            time.sleep(1)
            for sock in held:
                sock.setblocking(False)
            alive = []
            for sock in held:
                try:
                    if sock.recv(1):
                        alive.append(sock)
                    else:
                        sock.close()
                except BlockingIOError:
                    alive.append(sock)
                except OSError:
                    sock.close()
            held = alive
    finally:
        for sock in held:
            sock.close()
        soak.note("idle")


def memory_mb(server):
    """Resident memory now and at its peak."""
    with open(f"/proc/{server.process.pid}/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return tuple(int(lines[key].split()[0]) // 1024 for key in ("VmRSS", "VmHWM"))


def is_idle(server):
    return server.metric("trimtab_active_sequences") + server.metric("trimtab_queue_depth") == 0


def until_idle(server, seconds):
    """Seconds until no answer runs or waits, at most so many."""
    began = time.monotonic()
    while not is_idle(server) and time.monotonic() - began < seconds:
        time.sleep(0.005)
    return time.monotonic() - began


def vanishing(soak):
    """How long rows outlive clients that leave with something behind their bodies, one after the other."""
    worst = 0.0
    for behind in [b"", b"\r\n", b"x", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"] * 3:
        with soak.connect() as sock:
            body = soak.body(logit_bias={"2": -100})
            sock.sendall(head(body) + body)
            while soak.server.metric("trimtab_active_sequences") == 0:
                time.sleep(0.005)
            sock.sendall(behind)
        worst = max(worst, until_idle(soak.server, 30))
    return worst


def run(soak):
    expected = {}
    for number in range(HONEST):
        status, text = ask_stream(soak, number)
        assert status == 200 and text, status
        expected[number] = text
    started = memory_mb(soak.server)[0]
    works = [(honest, number, expected[number]) for number in range(HONEST)]
    threads = [threading.Thread(target=work, args=(soak, *rest)) for work, *rest in works]
    threads += [threading.Thread(target=hostile, args=(soak, seed)) for seed in range(HONEST)]
    threads.append(threading.Thread(target=idle, args=(soak,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--max-growth-mb", type=int, default=768, help="of memory, from the start to its peak, keys and values included")
    options = parser.parse_args()
    with Server("--parallel", PARALLEL, "--max-queue", 64, "--kv-memory", KV_MEMORY) as server:
        soak = Soak(server, time.monotonic() + 60 * options.minutes)
        started = run(soak)
        left = until_idle(server, 60)
        latency = vanishing(soak)
        now, peak = memory_mb(server)
        code = server.stop()
    whole = [soak.done[f"honest {number}, whole"] for number in range(HONEST)]
    checks = {
        f"whole honest answers of each client: {whole}": min(whole) >= 1,
        f"rows were free {left:.2f} s after the last client": left <= LATE_S,
        f"a row outlived its client by {latency:.2f} s at most": latency <= LATE_S,
        f"memory {started} MB at the start, {peak} MB at its peak, {now} MB at the end": peak - started <= options.max_growth_mb,
        f"the server ended with {code}": code == 0,
        f"{len(soak.failures)} failures": not soak.failures,
    }
    print("done:", dict(sorted(soak.done.items())))
    print("statuses:", dict(sorted(soak.statuses.items())))
    for failure in soak.failures[:20]:
        print("failure:", failure)
    for check, holds in checks.items():
        print("ok  " if holds else "FAIL", check)
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
