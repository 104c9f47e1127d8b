#!/bin/sh
# The program against a recording: no kernel, no root, no agent.
set -e
cd "$(dirname "$0")"
conductor wasm build .
conductor wasm replay PROGRAM.wasm recording.jsonl --expect expected.json
