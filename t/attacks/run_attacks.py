#!/usr/bin/env python3
"""Drive a corpus of hostile requests or responses through a reverse proxy and judge it.

  run_attacks.py --front HOST:PORT --backend-port P (--requests FILE | --responses FILE)
                 [--out results.jsonl] [--canary-port N] [--workers 10] [--only ID,ID]
                 [--group G] [--serial] [--verbose] [--tls]

FILE may be compressed with gzip (its name ends in .gz then); several are joined by commas.
With --tls the front is spoken to over TLS, whatever its certificate.  When most of --budget
(seconds) is over, cases that ask to be alone are no more: then they may hurt each other.

The front must map / to http://127.0.0.1:P/ (and, for the group "mount", /mnt/ to
http://127.0.0.1:P/confined/), with a backend timeout of 2 s.  Prints one line per
failing case and the last line "requests: N cases, M ok, K violations".
"""
import argparse
import base64
import gzip
import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from backend import Backend, Canary
from checks import Outcome, judge, show
from wire import Client

SERIAL_GROUPS = {"extra-bytes", "bodiless"}      # these poison pooled connections: one at a time


class Runner:
    def __init__(self, args, cases, kind):
        self.kind, self.cases = kind, cases
        host, _, port = args.front.rpartition(":")
        self.front = (host or "127.0.0.1", int(port))
        self.port = args.backend_port
        self.canary_port = args.canary_port or args.backend_port + 1
        self.backend = Backend(self.port, {c["id"]: c for c in cases} if kind == "response" else {})
        self.canary = Canary(self.canary_port)
        self.budget = args.budget
        self.control = None
        self.cross = {}            # id -> faults other cases suffered from its poison
        self.lock = threading.Lock()
        self.begin = time.monotonic()

    # -- ordinary requests ----------------------------------------------------------
    def normal(self, client=None, where="probe", limit=4.0):
        """Send a plain GET and check it gets its own answer. Returns a fault or None."""
        nonce = "/%s/%s" % (where, uuid.uuid4().hex)
        fresh = client is None
        if fresh:
            try:
                client = Client(self.front)
            except OSError as e:
                return "front does not accept a connection: %s" % e
        _, finals, _ = client.parsed()
        have = len(finals)
        while len(client.methods) < have:
            client.methods.append(b"GET")
        client.methods[have:] = [b"GET"]
        client.send(("GET %s HTTP/1.1\r\nHost: front.example\r\n%s\r\n" % (
            nonce, "Connection: close\r\n" if fresh else "")).encode())
        client.read(lambda c: len(c.parsed()[1]) > have, limit)
        _, finals, left = client.parsed()
        if fresh:
            client.close()
        if len(finals) <= have:
            return "a normal request afterwards got no answer (%s)" % (
                "closed" if client.eof else "silence") + (": " + show(left, 40) if left else "")
        msg = finals[have]
        try:
            mine = json.loads(msg.body)["path"] == nonce
        except (ValueError, KeyError, TypeError):
            mine = False
        if msg.status == 200 and mine and msg.complete:
            return None
        fault = "a normal request afterwards got %s %s" % (msg.status, show(msg.body, 50))
        if b"POISON-~" in msg.body:
            culprit = msg.body.split(b"POISON-~")[1].split(b"~")[0].decode("latin-1")
            with self.lock:
                self.cross.setdefault(culprit, []).append(fault)
        return fault

    def take_control(self):
        """A plain request, remembered as what the proxy normally sends."""
        c = Client(self.front)
        c.methods = [b"GET"]
        c.send(b"GET /control/x HTTP/1.1\r\nHost: front.example\r\nConnection: close\r\n\r\n")
        c.read(lambda x: bool(x.parsed()[1]), 4.0)
        finals = c.parsed()[1]
        c.close()
        for r in self.backend.records:
            if r.msg.target == b"/control/x":
                self.control = r
        if self.control is None:
            sys.exit("the front does not forward to port %d: %s" % (
                self.port, show(finals[0].raw, 200) if finals else "no answer"))

    # -- one hostile request ---------------------------------------------------------
    def request(self, case):
        o = Outcome(case)
        o.control = self.control
        since, hits = time.monotonic(), len(self.canary.hits)
        try:
            client = Client(self.front)
        except OSError as e:
            o.closed = True
            o.next_faults.append("front does not accept a connection: %s" % e)
            return o
        client.methods = [m.encode() for m in case.get("methods", [])]
        client.run_steps(case["steps"])
        gone = any(s.get("close") or s.get("rst") for s in case["steps"])
        if not gone:
            need = case.get("responses", 1)
            client.read(lambda c: sum(m.complete for m in c.parsed()[1]) >= need,
                        case.get("wait_ms", 1500) / 1000)
            if client.parsed()[1] and not client.eof:
                client.quiet(0.3)
            if any("client-connection-closed" in e for e in case["expect"]) and not client.eof:
                client.read(lambda c: False, 1.5)
        o.closed = client.eof and not gone
        o.interims, o.finals, o.leftover = client.parsed()
        o.hung = not gone and not o.closed and not any(m.complete for m in o.finals)
        o.raw = client.buf
        client.close()
        time.sleep(0.08)
        end = time.monotonic() + 1.5
        while self.backend.busy(o.id) and time.monotonic() < end:
            time.sleep(0.02)
        fault = self.normal()
        if fault:
            o.next_faults.append(fault)
        o.records = self.backend.of(o.id, since)
        o.canary = len(self.canary.hits) > hits and "canary" in str(case["expect"])
        return o

    # -- one hostile response ----------------------------------------------------------
    def response(self, case):
        o = Outcome(case)
        since = time.monotonic()
        try:
            client = Client(self.front)
        except OSError as e:
            o.next_faults.append("front does not accept a connection: %s" % e)
            return o
        had = 0
        if case.get("prime"):
            self.normal(client, "next")
            had = 1
        method = case.get("request_method", "GET")
        body = base64.b64decode(case.get("request_body_b64", ""))
        head = "%s %s/case/~%s~ HTTP/%s\r\nHost: front.example\r\n" % (
            method, case.get("prefix", ""), case["id"], case.get("request_version", "1.1"))
        for line in case.get("request_headers", []):
            head += line + "\r\n"
        if body or method in ("POST", "PUT"):
            head += "Content-Length: %d\r\n" % len(body)
        client.methods[had:] = [method.encode()]
        start = len(client.buf)
        client.send(head.encode() + b"\r\n" + body)
        client.read(lambda c: len(c.parsed()[1]) > had, case.get("wait_ms", 3000) / 1000)
        deadline = time.monotonic() + case.get("wait_ms", 3000) / 1000
        mine = None
        while time.monotonic() < deadline:       # let the backend finish playing
            mine = next((r for r in self.backend.of(o.id, since)), None)
            if mine is None or getattr(mine, "played", False) or mine.conn.closed:
                break
            time.sleep(0.01)
        client.quiet(0.04, 0.5)
        o.interims, finals, o.leftover = client.parsed()
        o.finals = finals[had:]
        o.closed = client.eof
        o.hung = not o.closed and not any(m.complete for m in o.finals)
        o.raw = client.buf[start:]
        unsolicited = len(o.finals) > 1
        if not unsolicited and o.finals and o.finals[0].complete and not client.eof \
                and o.finals[0].status != 101:
            fault = self.normal(client, "next")
            if fault and not (client.eof and "closed" in fault):
                o.next_faults.append("same connection: " + fault)
        client.close()
        for _ in range(2):
            fault = self.normal(None, "next")
            if fault:
                o.next_faults.append("new connection: " + fault)
        o.records = self.backend.of(o.id, since)
        if mine is not None:
            o.reused = len(mine.conn.records) > mine.index + 1
        return o

    # -- the whole corpus ------------------------------------------------------------
    def one(self, case):
        t = time.monotonic()
        try:
            o = self.request(case) if self.kind == "request" else self.response(case)
            bad = judge(o)
        except Exception as e:                   # a fault of this runner, not of the proxy
            o, bad = Outcome(case), [{"expect": "runner", "detail": "%s: %s" % (type(e).__name__, e)}]
        return o, bad, time.monotonic() - t

    def run(self, workers, serial):
        self.take_control()
        results = {}
        alone = [c for c in self.cases if serial or c.get("serial")
                 or c["group"] in SERIAL_GROUPS and self.kind == "response"]
        ids = {c["id"] for c in alone}
        together = sorted((c for c in self.cases if c["id"] not in ids),
                          key=lambda c: -c.get("wait_ms", 0))
        with ThreadPoolExecutor(workers) as pool:
            for case, got in zip(together, pool.map(self.one, together)):
                results[case["id"]] = got
        while alone and time.monotonic() - self.begin < self.budget * 0.7:
            case = alone.pop(0)
            results[case["id"]] = self.one(case)
        with ThreadPoolExecutor(workers) as pool:                # a very slow front: hurry
            for case, got in zip(alone, pool.map(self.one, alone)):
                results[case["id"]] = got
        failed = [c for c in together if results[c["id"]][1]]
        with ThreadPoolExecutor(1 if serial else 4) as pool:     # again, in small company
            for case, again in pool.map(self.again, failed):
                if again is not None:
                    results[case["id"]] = self.settle(case, results[case["id"]][1], again)
        for culprit, faults in self.cross.items():
            if culprit in results and not results[culprit][1]:
                results[culprit][1].append({"expect": "next-request-clean", "detail": faults[0]})
        return results

    def again(self, case):
        if time.monotonic() - self.begin > self.budget:
            return case, None
        return case, self.one(case)

    @staticmethod
    def settle(case, bad, again):
        """Choose between a first, failed run and its repetition."""
        mixed = [v for v in bad if v["expect"] == "own-responses"]
        if not again[1] and mixed:
            return again[0], [dict(v, detail=v["detail"] + " (only in company)") for v in mixed], again[2]
        if not again[1]:
            print("UNSTABLE %s: failed once, passed when repeated: %s -> %s" % (
                case["id"], bad[0]["expect"], bad[0]["detail"]))
        return again


def load(file, ports):
    """The cases of a file. Bytes stand there as "text" (Latin-1) or in base64; ports are filled in."""
    with gzip.open(file, "rt") if file.endswith(".gz") else open(file) as f:
        cases = [json.loads(line) for line in f if line.strip()]
    for case in cases:
        for name in ("text", "bytes_b64"):
            if name in case:
                case["steps"] = case.get("steps") or [{name.removeprefix("bytes_"): case.pop(name)}]
        for step in case["steps"]:
            if "text" in step or "b64" in step:
                data = step.pop("text").encode("latin-1") if "text" in step else base64.b64decode(step["b64"])
                step["b64"] = base64.b64encode(fill(data, ports))
        case["expect"] = [fill(e.encode(), ports).decode() for e in case["expect"]]
    return cases


def fill(data, ports):
    for name, port in ports.items():
        data = data.replace(b"{{%s}}" % name, b"%d" % port)
    return data


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--front", required=True)
    p.add_argument("--backend-port", type=int, required=True)
    p.add_argument("--requests")
    p.add_argument("--responses")
    p.add_argument("--out")
    p.add_argument("--canary-port", type=int)
    p.add_argument("--workers", type=int, default=10)
    p.add_argument("--only")
    p.add_argument("--group")
    p.add_argument("--serial", action="store_true")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--tls", action="store_true")
    p.add_argument("--budget", type=float, default=80.0)
    a = p.parse_args()
    kind = "request" if a.requests else "response"
    if a.tls:
        Client.use_tls()
    ports = {b"FRONT": int(a.front.rpartition(":")[2]), b"BACKEND": a.backend_port,
             b"CANARY": a.canary_port or a.backend_port + 1}
    cases = [c for file in (a.requests or a.responses).split(",") for c in load(file, ports)]
    if a.only:
        cases = [c for c in cases if c["id"] in a.only.split(",")]
    if a.group:
        cases = [c for c in cases if c["group"] in a.group.split(",")]
    runner = Runner(a, cases, kind)
    begin = time.monotonic()
    results = runner.run(a.workers, a.serial)
    violations = 0
    out = open(a.out, "w") if a.out else None
    for case in cases:
        o, bad, took = results[case["id"]]
        violations += len(bad)
        if bad:
            print("FAIL %s [%s] %s" % (case["id"], case["group"], " | ".join(
                "%s -> %s" % (v["expect"][:90], v["detail"]) for v in bad)))
        row = {"id": case["id"], "group": case["group"], "ok": not bad, "violations": bad,
               "status": o.word, "responses": [str(m.status) for m in o.finals], "closed": o.closed,
               "forwarded": len(o.records), "seconds": round(took, 3),
               "backend_saw": [r.msg.raw[:700].decode("latin-1") for r in o.records[:4]],
               "client_got": getattr(o, "raw", b"")[:700].decode("latin-1")}
        if a.verbose:
            print(json.dumps(row, indent=1))
        if out:
            out.write(json.dumps(row) + "\n")
    if out:
        out.close()
    soft = sum(v["expect"].startswith("should ") for r in results.values() for v in r[1])
    print("%ss: %d violations of must, %d of should" % (kind, violations - soft, soft))
    print("%ss: %d cases, %d ok, %d violations" % (
        kind, len(cases), sum(not results[c["id"]][1] for c in cases), violations))
    print("(%.1f s)" % (time.monotonic() - begin), file=sys.stderr)
    runner.backend.stop()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
