#!/usr/bin/env bash
# aws-cli 2 as Debian packages it.
CLIENT=awscli2 AWS=/usr/bin/aws
if [ ! -x "$AWS" ]; then echo "SKIP awscli2: no $AWS here (tests/lab/install.sh aws2)"; exit 0; fi
. "$(dirname "$0")/awscli_checks.sh"
