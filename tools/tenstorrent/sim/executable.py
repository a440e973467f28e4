#!/usr/bin/env python3
"""Prints the path of the test program of the given name, of which Cargo's messages on standard input tell."""

import json
import sys

[_, name] = sys.argv
messages = (json.loads(line) for line in sys.stdin if line.startswith("{"))
built = [
    message["executable"]
    for message in messages
    if message.get("executable") and message["target"]["name"] == name and "test" in message["target"]["kind"]
]
if len(built) != 1:
    sys.exit(f"Cargo built {len(built)} tests called {name}, and one was expected")
print(built[0])
