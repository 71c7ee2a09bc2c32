"""Creates the bucket named on the command line, with the environment's endpoint and credential.

A store may answer before it can serve (SeaweedFS' filer comes up after its S3 port), so the
attempt is repeated for a minute, until an object can be written; then it fails.
"""

import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PATIENCE_S = 60
OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make(client, bucket: str) -> None:
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in OURS:
            raise
    client.put_object(Bucket=bucket, Key="ready", Body=b"x")
    client.delete_object(Bucket=bucket, Key="ready")


def main() -> int:
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        region_name=os.environ["AWS_REGION"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            make(client, sys.argv[1])
            return 0
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > end:
                print(f"cannot create {sys.argv[1]}: {error}", file=sys.stderr)
                return 1
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
