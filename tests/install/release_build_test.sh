#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: release_build_test.sh CMAKE
# The release preset builds, and the program in build/release/bin says its version.
set -euo pipefail
cmake=$1
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
"$cmake" --preset release
"$cmake" --build --preset release
build/release/bin/llava --version
