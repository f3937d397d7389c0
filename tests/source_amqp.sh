#!/bin/sh
# The AMQP source against a broker of this machine's distribution.
# SPDX-License-Identifier: Apache-2.0

: "${top_builddir:?}" "${top_srcdir:?}"
program=$top_builddir/tests/test_source_amqp
[ -x "$program" ] || { echo 'skipped: source_amqp was not built'; exit 77; }
[ -z "$BURSAR_TEST_AMQP" ] || exec "$program"
exec "$top_srcdir/tests/servers" run --only rabbitmq -- "$program"
