"""PyTorch's S3 connector: AWS's runtime below mountpoint's client; datasets by prefix, checkpoints written and read."""

import torch
from lib import *
from s3torchconnector import S3Checkpoint, S3ClientConfig, S3IterableDataset, S3MapDataset

os.environ.update(AWS_ACCESS_KEY_ID=OWNER.key, AWS_SECRET_ACCESS_KEY=OWNER.secret, AWS_EC2_METADATA_DISABLED="true")
PATH_STYLE = S3ClientConfig(force_path_style=True, part_size=PART_BYTES, max_attempts=2)
MORE = dict(region=OWNER.region, endpoint=OWNER.endpoint, s3client_config=PATH_STYLE)
ROOT = f"s3://{OWNER.bucket}/{PREFIX}"


@check("a checkpoint of 40 MiB, written in parts and read back")
def _():
    checkpoint = S3Checkpoint(**MORE)
    torch.manual_seed(7)
    state = {"weights": torch.rand(10 << 20), "step": 17}
    with checkpoint.writer(ROOT + "model.ckpt") as file:
        torch.save(state, file)
    with checkpoint.reader(ROOT + "model.ckpt") as file:
        back = torch.load(file, weights_only=True)
    equal((back["step"], bool(torch.equal(back["weights"], state["weights"]))), (17, True))


@check("small samples, as a map and as a stream over two workers")
def _():
    checkpoint, want = S3Checkpoint(**MORE), {}
    for i in range(40):
        want[f"{PREFIX}samples/{i:03}"] = b"%d" % i * (i * 100)
        with checkpoint.writer(f"{ROOT}samples/{i:03}") as file:
            file.write(want[f"{PREFIX}samples/{i:03}"])
    samples = S3MapDataset.from_prefix(ROOT + "samples/", **MORE)
    equal({samples[i].key: samples[i].read() for i in range(len(samples))}, want)
    stream = S3IterableDataset.from_prefix(ROOT + "samples/", enable_sharding=True, transform=lambda s: (s.key, s.read()), **MORE)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=2)
    equal(dict(loader), want)


@check("ranges, by seeking")
def _():
    checkpoint, data = S3Checkpoint(**MORE), LARGE.read_bytes()
    with checkpoint.writer(ROOT + "large") as file:
        file.write(data)
    with checkpoint.reader(ROOT + "large") as file:
        for first, last in RANGES:
            file.seek(first)
            equal(file.read(last - first + 1), data[first : last + 1], (first, last))


@check("absent key")
def _():
    with S3Checkpoint(**MORE).reader(ROOT + "absent") as file:
        refused(file.read, "404", "NoSuchKey", "not exist")


done()
