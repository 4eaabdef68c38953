#!/usr/bin/env bash
# Licences, duplicate versions, sources and known faults of everything in Cargo.lock, by cargo-deny.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=0.20.2
TOOLS=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools")
export PATH="$PATH:$TOOLS/bin"

if ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny $VERSION into $TOOLS"
    cargo install --quiet --locked cargo-deny --version "$VERSION" --root "$TOOLS"
fi

cargo deny --locked --all-features --config .ci/deny.toml check licenses bans sources

# The database of known faults lies on GitHub, which not every machine reaches.
if cargo deny --config .ci/deny.toml fetch db >/dev/null 2>&1; then
    cargo deny --locked --all-features --config .ci/deny.toml check advisories
else
    echo "known faults: NOT CHECKED, because https://github.com/RustSec/advisory-db cannot be fetched here"
fi
