"""boto3 over the AWS Common Runtime: the engine below mountpoint-s3 and the SDKs for Java and C++.

boto3 gives the runtime no port, so that it always speaks to port 80: a relay on a loopback address of
its own stands there and hands the bytes on. Who may not listen on port 80 skips this client.
"""

import socket
import threading

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from lib import *

RELAY = "127.0.0.80"


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()


def relay(listener: socket.socket) -> None:
    host, port = OWNER.host.split(":")
    while True:
        front, _ = listener.accept()
        back = socket.create_connection((host, int(port)))
        for ends in ((front, back), (back, front)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


try:
    threading.Thread(target=relay, args=(socket.create_server((RELAY, 80)),), daemon=True).start()
except OSError as error:
    print(f"SKIP boto3_crt: cannot listen on {RELAY}:80: {error}")
    done()

s3 = boto3.client(
    "s3", endpoint_url=f"http://{RELAY}", aws_access_key_id=OWNER.key, aws_secret_access_key=OWNER.secret,
    region_name=OWNER.region, config=Config(s3={"addressing_style": "path"}),
)
transfer = TransferConfig(preferred_transfer_client="crt", multipart_chunksize=PART_BYTES, multipart_threshold=PART_BYTES)


@check("the CRT is what transfers")
def _():
    equal("crt" in type(create_transfer_manager(s3, transfer)).__module__.lower(), True)


@check("small, empty and 40 MiB, up and down")
def _():
    for sample in (SMALL, SAMPLES / "empty.bin", LARGE):
        s3.upload_file(str(sample), OWNER.bucket, PREFIX + sample.name, Config=transfer)
        s3.download_file(OWNER.bucket, PREFIX + sample.name, str(SCRATCH / sample.name), Config=transfer)
        equal(sha256(SCRATCH / sample.name), sha256(sample), sample.name)


@check("sizes in the list, delete")
def _():
    entries = s3.list_objects_v2(Bucket=OWNER.bucket, Prefix=PREFIX)["Contents"]
    equal(sorted(entry["Size"] for entry in entries), [0, 5120, 40 << 20])
    for entry in entries:
        s3.delete_object(Bucket=OWNER.bucket, Key=entry["Key"])


done()
