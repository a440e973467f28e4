#!/usr/bin/env python3
"""Prints the path of the test program of which Cargo's messages on standard input tell."""

import json
import sys

messages = (json.loads(line) for line in sys.stdin if line.startswith("{"))
built = [message["executable"] for message in messages if message.get("executable")]
if len(built) != 1:
    sys.exit(f"Cargo built {len(built)} programs, and one test was expected")
print(built[0])
