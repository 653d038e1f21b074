#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: consumer_test.sh CMAKE RELEASE_BUILD SCRATCH_FOLDER
# An installed llava serves find_package(llava) of a project elsewhere, also after the prefix has moved.
set -euo pipefail
cmake=$1 release=$2 scratch=$3
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/consumer" && pwd)
rm -rf "$scratch"
mkdir -p "$scratch"
"$cmake" --install "$release" --prefix "$scratch/first" > "$scratch/install.log"
mv "$scratch/first" "$scratch/prefix"
"$cmake" -S "$source" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix"
"$cmake" --build "$scratch/build"
"$scratch/prefix/bin/llava" --version
picture=$scratch/prefix/share/llava/models/tiny-llava-smollm2/examples/red_triangle.png
model=${XDG_CACHE_HOME:-$HOME/.cache}/llava/models/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -f "$model" ]; then
  # Neither folder nor file is named: the package says where the default model is.
  answer=$("$scratch/build/consumer" "$picture" "what color is the triangle?")
  echo "the consumer's answer: $answer"
  [ "$answer" = red ] || { echo "expected the answer 'red'" >&2; exit 1; }
else
  echo "the language model of the default model is not there (scripts/setup): the consumer was built and not asked"
fi
# Nothing of the build tree may be needed by, or named in, what is installed as text.
if grep -rlI --include='*.cmake' -e "$release" -e "$scratch" "$scratch/prefix"; then
  echo "the files above name the build tree or the first prefix" >&2
  exit 1
fi
