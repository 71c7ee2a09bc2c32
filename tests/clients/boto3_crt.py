"""The AWS Common Runtime, the engine below mountpoint-s3 and the SDKs for Java and C++, as aws-cli 2 drives it.

Its caller gives the runtime no port, so that it always speaks to port 80: a relay on a loopback address of
its own stands there and hands the bytes on. Who may not listen on port 80 skips this client.
"""

import socket
import threading

import boto3
from botocore.config import Config
from botocore.session import Session
from lib import *
from s3transfer.crt import (
    BotocoreCRTCredentialsWrapper, BotocoreCRTRequestSerializer, CRTTransferManager, create_s3_crt_client,
)

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

PATH_STYLE = Config(s3={"addressing_style": "path"})
s3 = boto3.client(
    "s3", endpoint_url=OWNER.endpoint, aws_access_key_id=OWNER.key, aws_secret_access_key=OWNER.secret,
    region_name=OWNER.region, config=PATH_STYLE,
)
session = Session()
session.set_credentials(OWNER.key, OWNER.secret)
credentials = BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
manager = CRTTransferManager(
    create_s3_crt_client(OWNER.region, credentials, use_ssl=False, part_size=PART_BYTES),
    BotocoreCRTRequestSerializer(
        session, {"region_name": OWNER.region, "endpoint_url": f"http://{RELAY}", "config": PATH_STYLE}),
)


@check("small, empty and 40 MiB, up and down")
def _():
    for sample in (SMALL, SAMPLES / "empty.bin", LARGE):
        manager.upload(str(sample), OWNER.bucket, PREFIX + sample.name).result()
        with (SCRATCH / sample.name).open("wb") as file:
            manager.download(OWNER.bucket, PREFIX + sample.name, file).result()
        equal(sha256(SCRATCH / sample.name), sha256(sample), sample.name)


@check("sizes in the list, delete")
def _():
    entries = s3.list_objects_v2(Bucket=OWNER.bucket, Prefix=PREFIX)["Contents"]
    equal(sorted(entry["Size"] for entry in entries), [0, 5120, 40 << 20])
    for entry in entries:
        s3.delete_object(Bucket=OWNER.bucket, Key=entry["Key"])


done()
