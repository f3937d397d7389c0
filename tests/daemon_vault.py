#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encrypted messages whose key is in Vault, which is sealed, moves on, and
denies; metering beside them that must not notice.  tests/vault.py is Vault."""
import os
import secrets
import sys
import time

sys.dont_write_bytecode = True
import daemon  # noqa: E402
import vault  # noqa: E402
from daemon import check, equal  # noqa: E402

SOME = daemon.scaled(300, 100)
TOKEN = "hvs.tokenofthedaemon"


def new_secret():
    return secrets.token_hex(32)


def write_secret(server, secret):
    server.control(secret={"legion/crypt": {"cluster_secret": secret}})


def ready(ground, mode="secret", token=None, **more):
    """A Vault, and a daemon's configuration: metering from in/, audit from
    audit/, by the crypto `legion`."""
    daemon.need("crypto_vault")
    server = vault.Vault().start()
    ground.secret = new_secret()
    server.control(engine={"legion": 2}, transit=["audit"],
                   token={TOKEN: token or {}})
    write_secret(server, ground.secret)
    with open(ground.path("token"), "w", encoding="ascii",
              opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(TOKEN + "\n")
    crypto = {"plugin": "vault", "mode": mode, "address": server.address,
              "token-file": ground.path("token"), "key": "audit",
              "refresh": "300ms", "retry": "1s"}
    crypto.update(more)
    crypto = {name: value for name, value in crypto.items()
              if value is not None}
    os.makedirs(ground.path("audit"), exist_ok=True)
    ground.configure(
        source={"follow": True},
        sources={"audit": {"plugin": "file", "follow": True,
                           "path": ground.path("audit/*"),
                           "scan-interval": "50ms", "crypto": "legion",
                           "require-encryption": True}},
        crypto={"legion": crypto})
    return server


def prompts(ground, first, count):
    return daemon.sealed(ground, "legion", [
        daemon.prompt(n) for n in range(first, first + count)])


def names(first, count):
    return ["prompt-%08d" % n for n in range(first, first + count)]


def audit(ground):
    return ground.part("sources", "audit")


def wait_prompts(ground, count):
    daemon.wait_for(lambda: ground.count("prompt") >= count,
                    "%d prompts are stored" % count)


def metering_flows(ground, first, count):
    ground.append("in/a", [daemon.fact(n)
                           for n in range(first, first + count)])
    ground.wait_settled(first + count)
    equal(ground.count(), first + count, "metering flows")


def nothing_is_read_in_a_loop(ground, server):
    """For a while: no message is read again, and Vault is left in peace."""
    reads, asked = audit(ground).get("read", 0), len(server.told()["requests"])
    seconds = 2
    time.sleep(seconds)
    equal(audit(ground).get("read", 0), reads, "no message is read again")
    check(len(server.told()["requests"]) - asked <= 3 * seconds + 6,
          "Vault is asked now and then", len(server.told()["requests"]))


def end(ground, server, process, want):
    equal(process.stop(), 0, "TERM ends it with 0")
    daemon.once_each(ground.ids("prompt"), want, "each prompt once")
    equal(ground.letters(), [], "no dead letters")
    equal(server.told()["unfaithful"], [], "all that was asked is Vault's")
    for word in (TOKEN, ground.secret):
        check(word not in process.log(), "the log keeps secrets")
    server.stop()


def sealed_for_a_while(ground):
    server = ready(ground)
    lines = prompts(ground, 0, SOME)
    server.control(fault="sealed")
    ground.write("audit/a", lines[:SOME // 2])
    process = ground.follow()
    ground.wait_state("sources", "audit", "parked")
    metering_flows(ground, 0, SOME)
    ground.append("audit/a", lines[SOME // 2:])
    nothing_is_read_in_a_loop(ground, server)
    metering_flows(ground, SOME, SOME)
    equal(ground.count("prompt"), 0, "no prompt was opened")
    check("sealed" in audit(ground).get("why", ""), "the status says why",
          audit(ground))
    equal(len(process.events("vault-sealed")), 1, "one alarm")
    server.control(fault=None)
    wait_prompts(ground, SOME)
    equal(len(process.events("vault-ready")), 1, "and the word that it ended")
    end(ground, server, process, names(0, SOME))


def a_secret_that_was_read_bridges_an_outage(ground):
    server = ready(ground, **{"max-age": "4s"})
    lines = prompts(ground, 0, 30)
    process = ground.follow()
    ground.write("audit/a", lines[:10])
    wait_prompts(ground, 10)
    server.control(fault="away")
    process.wait_event("vault-away")
    ground.append("audit/a", lines[10:20])
    wait_prompts(ground, 20)
    check(True, "messages are opened while Vault is away")
    process.wait_event("vault-secret-stale")
    ground.append("audit/a", lines[20:])
    ground.wait_state("sources", "audit", "parked")
    equal(ground.count("prompt"), 20, "but not for ever")
    server.control(fault=None)
    wait_prompts(ground, 30)
    equal(len(process.events("vault-away")), 1, "one alarm")
    end(ground, server, process, names(0, 30))


def a_rotation_needs_no_restart(ground):
    server = ready(ground)
    old = prompts(ground, 0, 40)
    process = ground.follow()
    ground.write("audit/a", old[:20])
    wait_prompts(ground, 20)
    for step in range(3):
        write_secret(server, new_secret())
        # At once: the daemon may not have seen it yet.
        time.sleep(1.1)
        ground.append("audit/a", prompts(ground, 40 + 10 * step, 10))
        wait_prompts(ground, 30 + 10 * step)
    ground.append("audit/a", old[20:])
    wait_prompts(ground, 70)
    equal(len(process.events("vault-secret-changed")), 3, "each was noticed")
    end(ground, server, process, names(0, 70))


def a_new_secret_is_found_by_the_message_that_needs_it(ground):
    """No refresh would come in time."""
    server = ready(ground, refresh="1h")
    process = ground.follow()
    ground.write("audit/a", prompts(ground, 0, 10))
    wait_prompts(ground, 10)
    write_secret(server, new_secret())
    ground.append("audit/a", prompts(ground, 10, 10))
    wait_prompts(ground, 20)
    end(ground, server, process, names(0, 20))


def tokens_are_renewed_and_replaced(ground):
    server = ready(ground, **{"token-file": None, "role-id": "bursar",
                              "secret-id-file": ground.path("secret-id")})
    ground.write_text("secret-id", "one\n")
    os.chmod(ground.path("secret-id"), 0o600)
    server.control(role={"id": "bursar", "secret": "one", "ttl": 4, "max": 30})
    lines = prompts(ground, 0, 40)
    process = ground.follow()
    for step in range(4):
        ground.append("audit/a", lines[10 * step:10 * step + 10])
        wait_prompts(ground, 10 * step + 10)
        if step == 2:
            server.control(revoke="all")
        time.sleep(2)
    told = server.told()
    check(1 <= told["renewals"] <= 8, "the token was renewed",
          told["renewals"])
    # That of the command as well.
    check(3 <= told["logins"] <= 6, "there was a new login", told["logins"])
    for event in ("vault-denied", "source-parked"):
        equal(process.events(event), [], "no " + event)
    end(ground, server, process, names(0, 40))


def a_wrong_policy_waits_for_a_person(ground):
    server = ready(ground)
    lines = prompts(ground, 0, 20)
    server.control(token={TOKEN: {"may": ["elsewhere"]}})
    ground.write("audit/a", lines)
    process = ground.follow()
    alarm = process.wait_event("vault-denied")
    check("give the token's policy read on legion/data/crypt" in alarm,
          "the alarm says what to do", alarm)
    ground.wait_state("sources", "audit", "parked")
    metering_flows(ground, 0, 50)
    nothing_is_read_in_a_loop(ground, server)
    out = ground.bursar("check", status=None)
    check("legion" in out, "bursar check names it", out)
    server.control(token={TOKEN: {"may": ["legion/data/crypt"]}})
    wait_prompts(ground, 20)
    equal(len(process.events("vault-denied")), 1, "one alarm")
    end(ground, server, process, names(0, 20))


def transit_waits_as_well(ground):
    server = ready(ground, mode="transit")
    lines = prompts(ground, 0, SOME)
    process = ground.follow()
    ground.write("audit/a", lines[:100])
    wait_prompts(ground, 100)
    server.control(fault="sealed")
    ground.append("audit/a", lines[100:])
    ground.wait_state("sources", "audit", "parked")
    metering_flows(ground, 0, 50)
    nothing_is_read_in_a_loop(ground, server)
    server.control(fault=None, transit=["audit"])
    wait_prompts(ground, SOME)
    equal(len(process.events("vault-sealed")), 1, "one alarm")
    end(ground, server, process, names(0, SOME))


def what_transit_cannot_open_harms_no_other(ground):
    server = ready(ground, mode="transit")
    lines = prompts(ground, 0, 9)
    for line in lines[1::2]:
        line["body_base64"] = line["body_base64"][:16] + "A" * 40
    ground.write("audit/a", lines)
    process = ground.follow()
    daemon.wait_for(lambda: len(ground.letters("undecryptable")) == 4,
                    "four dead letters")
    wait_prompts(ground, 5)
    equal(process.stop(), 0, "TERM ends it with 0")
    equal(sorted(ground.ids("prompt")), names(0, 9)[::2], "the good are there")
    equal(server.told()["unfaithful"], [], "all that was asked is Vault's")


def by_hand(ground):
    """seal and open of the command, which look at Vault once."""
    for mode in ("secret", "transit"):
        server = ready(ground, mode=mode)
        ground.write("sealed", prompts(ground, 0, 3))
        out = ground.bursar("crypto", "open", "--crypto", "legion",
                            ground.path("sealed"))
        equal(out.count("what is"), 3, mode + ": what was sealed opens")
        server.control(fault="sealed")
        out = ground.bursar("crypto", "open", "--crypto", "legion",
                            ground.path("sealed"), status=1)
        check("it is sealed" in out, mode + ": or says why not", out)
        equal(server.told()["unfaithful"], [], "all that was asked is Vault's")
        server.stop()


daemon.main(
    sealed_for_a_while,
    a_secret_that_was_read_bridges_an_outage,
    a_rotation_needs_no_restart,
    a_new_secret_is_found_by_the_message_that_needs_it,
    tokens_are_renewed_and_replaced,
    a_wrong_policy_waits_for_a_person,
    transit_waits_as_well,
    what_transit_cannot_open_harms_no_other,
    by_hand,
)
