#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conformance_http.py FOLDER PORT - what the kit hands to the HTTP source

Goes into the background and sends forty records, in four requests with keys,
again and again until it is answered for each or the folder is gone."""
import http.client
import json
import os
import sys
import threading
import time

FOLDER, PORT = sys.argv[1], int(sys.argv[2])


def send(number):
    records = [{"message_id": "m%d" % n, "x": "0" * (n * 9)}
               for n in range(number * 10, number * 10 + 10)]
    while os.path.isdir(FOLDER):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT,
                                                    timeout=60)
            connection.request("POST", "/v1/records", json.dumps(records), {
                "Content-Type": "application/json",
                "Idempotency-Key": str(number)})
            told = json.loads(connection.getresponse().read())
            if told.get("retry") == 0:
                return
        except (OSError, ValueError, http.client.HTTPException):
            pass
        time.sleep(0.02)


if os.fork() == 0:
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(quiet, descriptor)
    os.closerange(3, 1024)
    for thread in [threading.Thread(target=send, args=(n,))
                   for n in range(4)]:
        thread.start()
