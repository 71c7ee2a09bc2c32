#!/usr/bin/env bash
# rclone as Debian packages it: 1.60, with the first SDK for Go.
CLIENT=rclone160 RCLONE=/usr/bin/rclone
if [ ! -x "$RCLONE" ]; then echo "SKIP rclone160: no $RCLONE here (tests/lab/install.sh debian)"; exit 0; fi
. "$(dirname "$0")/rclone_checks.sh"
