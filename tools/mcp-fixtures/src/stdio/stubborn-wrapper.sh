#!/bin/sh
# A launcher as many MCP servers have one: the shell stays the parent, so a signal to it alone leaves the
# server behind. FIXTURE_NODE is the node to run it with.
"${FIXTURE_NODE:-node}" "$(dirname "$0")/stubborn-stdio.ts"
exit $?
