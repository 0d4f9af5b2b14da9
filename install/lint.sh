#!/usr/bin/env bash
# Check format and style of every language in the repository; --fix mends what a tool can mend.
# usage: install/lint.sh [--fix]
set -euo pipefail

fix=false
case "${1:-}" in
'') ;;
--fix) fix=true ;;
*) echo "usage: install/lint.sh [--fix]" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
bin=node_modules/.bin

failed=()
run() { # NAME COMMAND...
	local name=$1; shift
	"$@" || failed+=("$name")
}

need() { # TOOL REMEDY
	command -v "$1" >/dev/null && return 0
	echo "lint: $1 is missing; remedy: $2" >&2
	return 1
}

sources() { # PATTERN...: files of the project, also those not yet committed, without deleted ones
	git ls-files -co --exclude-standard -- "$@" | sort -u | while IFS= read -r file; do
		[[ ! -f $file ]] || printf '%s\n' "$file"
	done
}

scripts() {
	sources '*.sh'
	sources . | grep -Ev '\.[a-z0-9]+$' | while IFS= read -r file; do
		! head -c 64 "$file" | head -n1 | grep -aqE '^#!.*[/ ](ba|da)?sh( |$)' || printf '%s\n' "$file"
	done
}

lint_typescript() {
	local options=(--colors=off --log-level=warn --error-on-warnings)
	! $fix || options+=(--write)
	"$bin/biome" check "${options[@]}"
}

check_types() {
	[[ -f build/protos/shim.d.ts && -f build/protos/agent.d.ts ]] || install/protos.sh build/protos
	"$bin/tsc" -p tsconfig.json --noEmit --pretty false --tsBuildInfoFile build/lint.tsbuildinfo
}

lint_native() {
	local files
	mapfile -t files < <(sources 'native/*.c' 'native/*.h' 'native/*.cc' 'native/*.cpp' 'native/*.hpp' 'test/*.c' 'test/*.cpp' 'test/*.h' 'test/*.hpp')
	((${#files[@]})) || return 0
	if $fix; then clang-format -i "${files[@]}"; else clang-format --dry-run -Werror "${files[@]}"; fi
}

lint_scripts() {
	local files
	mapfile -t files < <(scripts | sort -u)
	((${#files[@]})) || return 0
	shellcheck -x -e SC2015 "${files[@]}"
}

need "$bin/biome" "npm ci" && run biome lint_typescript || failed+=(biome)
need "$bin/tsc" "npm ci" && run tsc check_types || failed+=(tsc)
need clang-format "install/deps.sh" && run clang-format lint_native || failed+=(clang-format)
need shellcheck "install/deps.sh" && run shellcheck lint_scripts || failed+=(shellcheck)

if ((${#failed[@]})); then
	echo "lint: failed: ${failed[*]}"
	exit 1
fi
echo "lint: ok (biome, tsc, clang-format, shellcheck)"
