#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fifos and folders where files belong: nobody waits for their other end."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import daemon  # noqa: E402
from daemon import check, equal  # noqa: E402

ROOT = os.environ.get("top_srcdir", os.path.dirname(sys.path[0]))
BOOK = os.path.join(ROOT, "etc", "prices.json")


def put_fifo(path):
    if os.path.lexists(path):
        os.unlink(path)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    os.mkfifo(path, 0o600)


def put_folder(path):
    if os.path.lexists(path):
        os.unlink(path)
    os.makedirs(path, mode=0o700)


def refuses(ground, path, what, put=put_fifo):
    """The daemon does not start, and says which file it is."""
    put(path)
    process = ground.start("--once")
    got = process.wait(60)
    check(got in (1, 2) and path in process.log() and
          "regular file" in process.log(), "%s is refused by name" % what,
          got, process.log()[-800:])
    if put is put_folder:
        os.rmdir(path)
    else:
        os.unlink(path)


def fed(ground):
    ground.configure()
    ground.write("in/a.jsonl", [daemon.fact(0), {"no": "record"}])
    ground.once()


def day_of_letters(ground):
    return [name for name in os.listdir(ground.path("state/dead-letters"))
            if name.endswith(".jsonl")][0]


def a_start_waits_for_no_fifo_of_its_state(ground):
    fed(ground)
    letters = ground.path("state/dead-letters")
    day = os.path.join(letters, day_of_letters(ground))
    offsets = ground.path("state/source-in/offsets")
    check(os.path.exists(offsets), "the offsets stand where they do", offsets)
    for put in (put_fifo, put_folder):
        refuses(ground, offsets, "offsets", put)
        refuses(ground, ground.path("state/lock"), "the lock", put)
        refuses(ground, os.path.join(letters, "reserve"), "the reserve", put)
        refuses(ground, day, "a day of dead letters", put)


def a_fifo_where_new_offsets_go_is_taken_away(ground):
    fed(ground)
    fresh = ground.path("state/source-in/offsets.new")
    put_fifo(fresh)
    ground.append("in/a.jsonl", [daemon.fact(1)])
    ground.once(status=None)
    check(not os.path.lexists(fresh), "the fifo is gone")
    ground.once()
    equal(ground.count(), 2, "each record is stored once")


def a_start_waits_for_no_fifo_of_its_configuration(ground):
    fed(ground)
    secret = ground.path("secret")
    book = ground.path("book.json")
    ledger = ground.path("other.db")
    for put in (put_fifo, put_folder):
        ground.configure(prices={"book": book})
        refuses(ground, book, "a book of prices", put)
        ground.configure(sink={"path": ledger})
        refuses(ground, ledger, "a ledger", put)
        ground.configure(crypto={"lock": {"plugin": "sodium",
                                          "keys-file": secret}})
        refuses(ground, secret, "a file of keys", put)
    ground.configure()
    os.rename(ground.config, ground.config + ".away")
    refuses(ground, ground.config, "the configuration itself")
    refuses(ground, ground.config, "the configuration itself", put_folder)


def command(ground, *arguments, seconds=60, config=None, **more):
    return subprocess.run(
        [daemon.BURSAR, "-c", config or ground.config] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
        env=daemon.environment(), check=False, **more)


def says_no(ground, path, *arguments):
    done = command(ground, *arguments, stdin=subprocess.DEVNULL)
    out = done.stdout.decode()
    check(done.returncode in (1, 2, 3) and os.path.basename(path) in out and
          "regular file" in out, "bursar %s says so" % " ".join(arguments[:2]),
          done.returncode, out)


def commands_wait_for_no_fifo(ground):
    fed(ground)
    fifo = ground.path("fifo")
    put_fifo(fifo)
    says_no(ground, fifo, "price", "check", fifo)
    says_no(ground, fifo, "price", "import", "litellm", fifo)
    says_no(ground, fifo, "team", "import", fifo)
    says_no(ground, fifo, "token", "list", "--file", fifo)
    says_no(ground, fifo, "token", "add", "name", "--file", fifo)
    part = ground.path("copy.db.part")
    put_fifo(part)
    says_no(ground, part, "backup", ground.path("copy.db"))
    letters = ground.path("state/dead-letters")
    replayed = os.path.join(letters, "replayed")
    put_fifo(replayed)
    says_no(ground, replayed, "dead-letters", "list")
    os.unlink(replayed)
    day = os.path.join(letters, day_of_letters(ground))
    put_fifo(day)
    says_no(ground, day, "dead-letters", "list")


def a_certificate_or_a_list_of_tokens_is_no_fifo(ground):
    fifo = ground.path("fifo")
    there = "127.0.0.1:%d" % daemon.free_port()
    put_fifo(fifo)
    ground.write_text("password", "x\n")
    os.chmod(ground.path("password"), 0o600)
    for plugin, section, entry in (
            ("source_amqp", "sources",
             {"plugin": "amqp", "uri": "amqps://127.0.0.1:1/", "queue": "q",
              "password-file": ground.path("password"), "ca-file": fifo}),
            ("source_http", "sources",
             {"plugin": "http", "listen": there, "token-file": fifo}),
            ("service_web", "services",
             {"plugin": "web", "listen": there, "cert-file": fifo,
              "key-file": fifo}),
            ("crypto_vault", "crypto",
             {"plugin": "vault", "address": "https://127.0.0.1:1",
              "token-file": ground.path("password"), "ca-file": fifo})):
        if daemon.plugin_is_built(plugin):
            ground.configure(**{section: {"one": entry}})
            says_no(ground, fifo, "check", "-c", ground.config)


def pipes_are_read_where_somebody_writes(ground):
    fed(ground)
    with open(ground.config, encoding="utf-8") as file:
        text = file.read()
    done = command(ground, "check", config="/dev/stdin", input=text.encode())
    equal(done.returncode, 0, "a configuration comes through a pipe")
    done = command(ground, "report", "summary", config="/dev/stdin",
                   input=text.replace(ground.folder + "/", "").encode(),
                   cwd=ground.folder)
    equal(done.returncode, 0, "its paths start from where it is read")
    shell = ('"$0" -c <(sleep 1; cat "$1") check && '
             '"$0" -c "$1" price check <(sleep 1; cat "$2")')
    done = subprocess.run(
        ["bash", "-c", shell, daemon.BURSAR, ground.config,
         BOOK], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=daemon.environment(), timeout=60, check=False)
    check(done.returncode == 0, "slow commands are waited for",
          done.stdout.decode())


daemon.main(
    a_start_waits_for_no_fifo_of_its_state,
    a_fifo_where_new_offsets_go_is_taken_away,
    a_start_waits_for_no_fifo_of_its_configuration,
    commands_wait_for_no_fifo,
    a_certificate_or_a_list_of_tokens_is_no_fifo,
    pipes_are_read_where_somebody_writes,
)
