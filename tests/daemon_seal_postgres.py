#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scenarios of daemon_seal.py in a real PostgreSQL."""
import sys

sys.dont_write_bytecode = True
import daemon_seal  # noqa: E402
import real  # noqa: E402

real.SINK = "postgres"
real.main(*daemon_seal.SCENARIOS, servers=["postgres"],
          plugins=["sink_postgres", "crypto_sodium"])
