#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make.py FOLDER - write the sample day

The same files every time, with @DAY@ where a date belongs.  metering.jsonl
holds two duplicates (a producer that tried again), an id that was used again
for something else, and two broken lines.  prompts.jsonl and tools.jsonl are
envelopes, as a broker would carry them; private.jsonl holds prompts as bare
bodies, to be sealed before they travel.
"""
import json
import pathlib
import random
import sys

# Provider, model, dollars per million tokens in and out (none: it runs on a
# machine of one's own), share of the calls, usual latency in ms.
MODELS = [
    ("anthropic", "claude-sonnet-4-6", 3.0, 15.0, 30, 2100),
    ("anthropic", "claude-haiku-4-5", 1.0, 5.0, 22, 800),
    ("openai", "gpt-5-mini", 0.25, 2.0, 20, 900),
    ("openai", "gpt-4o", 2.5, 10.0, 8, 1500),
    ("gemini", "gemini-2.5-flash", 0.3, 2.5, 12, 700),
    ("ollama", "qwen3.5:27b", None, None, 8, 3900),
]
TEAMS = [
    ("support", "cc-4100", "budget_support"),
    ("claims", "cc-4200", "budget_claims"),
    ("platform", "cc-7000", "budget_platform"),
    ("research", "cc-8000", None),
]
PEOPLE = ["ana", "bo", "chen", "dara", "eli", "fatou", "goran", "hina"]
QUESTIONS = [
    ("Summarise claim 441 in two sentences.",
     "Claim 441 concerns water damage in a kitchen. It was approved for"
     " 2,300 euros."),
    ("Write a polite reminder for an unpaid invoice.",
     "Dear customer, our invoice of the 3rd is still open. May we ask you to"
     " look at it?"),
    ("Translate 'good morning' into Japanese.",
     "おはようございます (ohayō gozaimasu)."),
    ("Why does this query scan the whole table?\n"
     "SELECT * FROM orders WHERE lower(email) = 'x'",
     "<think>An index on email does not help lower(email).</think>"
     "The index is on email, not on lower(email). Make one on the"
     " expression."),
    ("List three risks of storing prompts for ever.",
     "Personal data that nobody needs, a larger loss when keys leak, and"
     " requests for erasure that cannot be met."),
    ("Patient reports dizziness after changing medication; draft a note for"
     " the chart.",
     "Dizziness since the change of medication on Monday. Blood pressure to"
     " be measured lying and standing."),
]
TOOLS = [
    ("read_file", "builtin", "local",
     {"path": "/srv/app/config.yaml"}, "listen: 127.0.0.1"),
    ("search_tickets", "mcp", "tickets",
     {"query": "refund", "limit": 5}, {"hits": [4411, 4402]}),
    ("run_query", "mcp", "warehouse",
     {"sql": "SELECT count(*) FROM orders"}, {"rows": [[18234]]}),
]


def at(second, milli=0):
    hour, minute = second // 3600, second // 60 % 60
    return f"@DAY@T{hour:02d}:{minute:02d}:{second % 60:02d}.{milli:03d}Z"


def busy(rnd):
    """A second of the day, most often one between eight and six."""
    if rnd.random() < 0.8:
        return int(rnd.triangular(0, 86399, 50000))
    return rnd.randrange(86400)


def context(rnd, n):
    return {
        "conversation_id": f"conv_{n // 3:04x}",
        "message_id": f"msg_{n:05d}",
        "message_seq": n % 3 * 2 + 1,
        "request_id": f"req_{rnd.getrandbits(40):010x}",
        "exchange_id": f"exch_{n:05d}",
    }


def caller(rnd):
    return {"requested_by": {"identity": f"user:{rnd.choice(PEOPLE)}",
                             "type": "user"}}


def metering(rnd, n):
    provider, model, usd_in, usd_out, _, latency = \
        rnd.choices(MODELS, [m[4] for m in MODELS])[0]
    team, center, budget = rnd.choice(TEAMS)
    failed = rnd.random() < 0.02
    tokens_in = int(rnd.lognormvariate(7, 1))
    tokens_out = 0 if failed else int(rnd.lognormvariate(5.5, 0.9))
    thinks = not failed and rnd.random() < 0.15
    thinking = int(rnd.lognormvariate(5.5, 0.6)) if thinks else 0
    record = {
        "message_id": f"meter_{rnd.getrandbits(64):016x}",
        "message_context": context(rnd, n),
        "request_type": rnd.choices(["chat", "embed", "structured"],
                                    [8, 1, 1])[0],
        "provider": provider,
        "tier": "local" if provider == "ollama" else "cloud",
        "model_id": model,
        "node_id": f"node-{rnd.randrange(6):02d}",
        "worker_id": f"worker-{rnd.randrange(12):02d}",
        "team": team,
        "agent_id": rnd.choice(["triage", "writer", "coder", None]),
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "thinking_tokens": thinking,
        "total_tokens": tokens_in + tokens_out + thinking,
        "latency_ms": int(latency * rnd.lognormvariate(0, 0.4)),
        "routing_reason": rnd.choice(["default", "cost", "failover"]),
        "billing": {"cost_center": center, "budget_id": budget},
        "recorded_at": at(busy(rnd), rnd.randrange(1000)),
    }
    if usd_in is not None:
        usd = tokens_in * usd_in + (tokens_out + thinking) * usd_out
        record["cost_usd"] = round(usd / 1e6, 8)
    if failed:
        record.update(status="error", error_type="timeout")
    return {name: v for name, v in record.items() if v is not None}


def prompt(rnd, n):
    question, answer = QUESTIONS[n % len(QUESTIONS)]
    provider, model = rnd.choice(MODELS)[:2]
    health = question.startswith("Patient")
    return {
        "message_id": f"audit_prompt_{n:04d}",
        "message_context": context(rnd, n),
        "request_type": "chat",
        "routing": {"provider": provider, "model": model,
                    "tier": "local" if provider == "ollama" else "cloud"},
        "tokens": {"input": len(question), "output": len(answer),
                   "total": len(question) + len(answer)},
        "caller": caller(rnd),
        "classification": {"level": "restricted" if health else "internal",
                           "contains_phi": health, "contains_pii": health},
        "retention_policy": rnd.choice(["default", "days_30", "permanent"]),
        "request": {"messages": [{"role": "user", "content": question}]},
        "response": answer,
        "timestamps": {"returned": at(busy(rnd), rnd.randrange(1000))},
    }


def is_private(body):
    return body["classification"]["contains_phi"] or \
        int(body["message_id"][-4:]) % 3 == 0


def in_clear(body):
    """An envelope that says id and retention in the open."""
    inside = dict(body)
    return {
        "kind": "prompt",
        "routing_key": "audit.prompt.chat",
        "properties": {"message_id": inside.pop("message_id"),
                       "content_type": "application/json"},
        "headers": {"x-legion-retention": inside.pop("retention_policy")},
        "body": inside,
    }


def tool(rnd, n):
    name, kind, server, arguments, result = TOOLS[n % len(TOOLS)]
    failed = n % 9 == 0
    second = busy(rnd)
    call = {
        "id": f"call_{rnd.getrandbits(32):08x}",
        "name": name,
        "source": {"type": kind, "server": server},
        "status": "error" if failed else "success",
        "duration_ms": rnd.randrange(5, 900),
        "arguments": arguments,
        "result": None if failed else result,
    }
    if failed:
        call["error"] = {"category": "timeout",
                         "message": "no answer within 30 s"}
    return {
        "kind": "tool",
        "routing_key": f"audit.tool.{name}",
        "properties": {"message_id": f"audit_tool_{n:04d}",
                       "content_type": "application/json"},
        "headers": {"x-legion-retention": "days_90",
                    "x-legion-tool-name": name},
        "body": {
            "message_context": context(rnd, n),
            "tool_call": call,
            "caller": caller(rnd),
            "timestamps": {"tool_start": at(second),
                           "tool_end": at(second, 900)},
        },
    }


def line(record):
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    folder = pathlib.Path(sys.argv[1])
    rnd = random.Random(20)

    records = sorted((metering(rnd, n) for n in range(240)),
                     key=lambda record: record["recorded_at"])
    lines = [line(record) for record in records]
    lines[200:200] = ['["not", "an", "object"]']
    lines[180:180] = [line(dict(records[150], output_tokens=1))]
    lines[100:100] = [lines[97], lines[98]]
    lines[60:60] = [lines[10][:200]]
    write(folder / "metering.jsonl", lines)

    prompts = [prompt(rnd, n) for n in range(36)]
    write(folder / "prompts.jsonl",
          [line(in_clear(p)) for p in prompts if not is_private(p)])
    write(folder / "private.jsonl",
          [line(p) for p in prompts if is_private(p)])
    write(folder / "tools.jsonl", [line(tool(rnd, n)) for n in range(24)])


if __name__ == "__main__":
    main()
