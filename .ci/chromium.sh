#!/usr/bin/env bash
# Installs Chromium for the test of the report page, where it is missing and apt-get may do that. Never fails.
set -u

for browser in "${CHROME:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [[ -n $browser ]] && command -v "$browser" >/dev/null; then
        echo "found: $browser"
        exit 0
    fi
done

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "no Chromium, and no apt-get as root to install it with: the test of the report page will be skipped"
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
# Fonts as well: without any, text has no width.
if { apt-get install -y --no-install-recommends chromium fonts-dejavu-core ||
    { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; }; } >/dev/null 2>&1; then
    echo "installed: $(command -v chromium)"
else
    echo "Chromium could not be installed: the test of the report page will be skipped"
fi
exit 0
