#!/usr/bin/env bash
# aws-cli 1 from PyPI: a current botocore, so checksums in trailers by default.
CLIENT=awscli1 AWS="$LAB_CACHE/aws1/bin/aws"
. "$(dirname "$0")/awscli_checks.sh"
