#!/usr/bin/env bash
# rclone as PyPI has it: a current one.
CLIENT=rclone RCLONE=$LAB_CACHE/bin/rclone
. "$(dirname "$0")/rclone_checks.sh"
