#!/usr/bin/env bash
# run.sh [BUILD_DIR [TEST…]]: tests of CRIU with the overlay, built from source if need be. As root, without containers.
# CRIU_VERSION=4.1.1 tests that version, in a build folder of its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "${1:-$root/build}"
build=$(cd "${1:-$root/build}" && pwd)
(($# == 0)) || shift
out=$build/criu${CRIU_VERSION:+-$CRIU_VERSION}

"$root/install/criu.sh" "$out"
work=$(mktemp -d "${TMPDIR:-/tmp}/pclive-criu-test.XXXXXX")
chmod 755 "$work" # one test runs as another user
trap 'rm -rf --one-file-system "$work"' EXIT
cc=${CC:-cc}
"$cc" -O2 -Wall -Wextra -Werror -o "$work/subject" "$here/subject.c" -pthread
"$cc" -O2 -Wall -Wextra -Werror -o "$work/threads" "$here/threads.c" -pthread
"$cc" -g -D_GNU_SOURCE -fsanitize=address,undefined -Wall -Wextra -Werror -I"$root/native/criu" -o "$work/move_test" \
	"$here/move_test.c" "$root/native/criu/move.c"
"$cc" -g -D_GNU_SOURCE -fsanitize=address,undefined -Wall -Wextra -Werror -I"$root/native/criu" -o "$work/archive_test" \
	"$here/archive_test.c" "$root/native/criu/pack.c" "$root/native/criu/unpack.c"
"$cc" -g -D_GNU_SOURCE -fsanitize=address,undefined -Wall -Wextra -Werror -I"$root/native/criu" -I"$here/stand-in" \
	-o "$work/smaps_test" "$here/smaps_test.c" "$root/native/criu/"{smaps,vma_flags,kernel_types}.c

status=0
timeout 120 "$work/smaps_test" || status=1
timeout 60 "$work/move_test" || status=1
timeout 120 "$work/archive_test" || status=1
if (($# == 0)); then
	timeout 200 python3 "$here/unattended.py" "$work" "$out/criu" "$work/threads" || status=1
fi
timeout 300 python3 "$here/tests.py" "$work" "$out/criu" "$work/subject" "$@" || status=1
exit $status
