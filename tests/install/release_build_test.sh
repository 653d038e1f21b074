#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: release_build_test.sh CMAKE
# The release preset builds, and the program in build/release/bin says its version.
set -euo pipefail
cmake=$1
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# Warnings are errors as in the dev preset, so that ccache finds what the dev build compiled.
"$cmake" --preset release -DLLAVA_WERROR=ON
"$cmake" --build --preset release
build/release/bin/llava --version
