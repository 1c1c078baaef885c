#!/usr/bin/env bash
set -euo pipefail

source "$(dirname "$0")/lib/common.sh"
. ./env.sh

readonly LIMIT=3
BUILD_DIR=out
lower=1

usage() {
  cat <<EOF
usage: build() { not a function }
EOF
}

function deploy {
  local target=$1
  on_exit() {
    rm -rf "$target"
  }
  trap on_exit EXIT
}

if [[ -n ${CI:-} ]]; then
  log::info() ( echo "$@" )
fi

case "${1:-}" in
  build) make ;;
esac
