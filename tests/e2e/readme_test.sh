#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: readme_test.sh PROGRAM DOCUMENT...
# Runs every `sh` block of the documents, from the root of the repository, with PROGRAM in place of
# build/release/bin/llava. A `text` block that follows at once is what it must print. Blocks marked
# `bash` name things of the reader's own and are not run.
set -euo pipefail
program=$1
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
model=${XDG_CACHE_HOME:-$HOME/.cache}/llava/models/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$model" ] || { echo "skipped: the language model of the default model is not there (scripts/setup)"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Each block as a file of its own: NUMBER.sh, and NUMBER.text for what it prints.
cat "$@" | awk -v folder="$scratch" '
  /^ *```sh$/ { block++; file = folder "/" block ".sh"; next }
  /^ *```text$/ && last_end == NR - 1 && block { file = folder "/" block ".text"; next }
  /^ *```/ { if (file) { close(file); last_end = NR; file = "" }; next }
  file { print > file }'

failed=0
for script in "$scratch"/*.sh; do
  grep -q 'build/release/bin/llava' "$script" || continue
  sed -i "s#build/release/bin/llava#\"\$LLAVA_PROGRAM\"#g" "$script"
  cat "$script"
  if ! LLAVA_PROGRAM=$program bash -euo pipefail "$script" > "$scratch/out" 2> "$scratch/err" < /dev/null; then
    echo "FAILED with:"
    cat "$scratch/out" "$scratch/err"
    failed=1
  elif [ -f "${script%.sh}.text" ] && ! diff "${script%.sh}.text" "$scratch/out"; then
    echo "FAILED: it prints something else"
    failed=1
  fi
done
exit $failed
