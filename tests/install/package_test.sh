#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: package_test.sh CPACK RELEASE_BUILD SCRATCH_FOLDER
# The .deb and the .tar.gz answer a question in a bare Debian 12, where neither compiler nor Python is.
set -euo pipefail
cpack=$1 release=$2 scratch=$3
root=$scratch/bookworm
model=${XDG_CACHE_HOME:-$HOME/.cache}/llava/models/SmolLM2-135M-Instruct.Q4_1.gguf
max_bytes=40000000

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "making a chroot needs root"
command -v debootstrap > /dev/null || skip "debootstrap is not installed (scripts/setup --dev)"
[ -f "$model" ] || skip "the language model is not there (scripts/setup)"

clean_up() {
  ! mountpoint -q "$root/proc" || umount "$root/proc"
  rm -rf --one-file-system "$root"
}
trap clean_up EXIT
clean_up
rm -rf "$scratch"
mkdir -p "$scratch"

rm -rf "$release/packages"
(cd "$release" && "$cpack" --config CPackConfig.cmake > "$scratch/cpack.log" 2>&1) || { cat "$scratch/cpack.log"; exit 1; }
deb=$(echo "$release"/packages/*.deb)
archive=$(echo "$release"/packages/*.tar.gz)
for package in "$deb" "$archive"; do
  bytes=$(stat -c %s "$package")
  echo "$(basename "$package"): $bytes bytes"
  [ "$bytes" -le $max_bytes ] || { echo "it is larger than $max_bytes bytes" >&2; exit 1; }
done

debootstrap --variant=minbase bookworm "$root" > "$scratch/debootstrap.log" 2>&1 ||
  { tail -n 5 "$scratch/debootstrap.log"; skip "debootstrap could not make a Debian 12"; }
for tool in g++ gcc cc python3; do
  [ ! -e "$root/usr/bin/$tool" ] || { echo "the chroot has $tool: it proves nothing" >&2; exit 1; }
done
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }
mkdir -p "$root/root/.cache/llava/models"
cp "$model" "$root/root/.cache/llava/models/"

ask() { # program, folder of its data
  local answer
  inside "$1" --version
  answer=$(inside "$1" run --image-file "$2/llava/models/tiny-llava-smollm2/examples/red_triangle.png" \
    --query "what color is the triangle?" --temperature 0)
  echo "$1: $answer"
  [ "$answer" = red ] || { echo "expected the answer 'red'" >&2; exit 1; }
}

cp "$deb" "$root/srv/llava.deb"
inside dpkg -i /srv/llava.deb
ask /usr/bin/llava /usr/share
inside dpkg -r llava

# Anywhere it is unpacked; what lies beside a program is found through /proc.
mkdir -p "$root/srv/some where"
tar -C "$root/srv/some where" --strip-components=1 -xzf "$archive"
mount -t proc proc "$root/proc"
ask "/srv/some where/bin/llava" "/srv/some where/share"
