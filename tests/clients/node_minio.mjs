// MinIO's SDK for JavaScript: streaming signatures of its own, its own multipart engine, versions.
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.LAB_CACHE, 'node', 'x.js'));
const Minio = require('minio');

const samples = process.env.KLUIS_SAMPLES;
const small = fs.readFileSync(path.join(samples, 'small.bin'));
const large = fs.readFileSync(path.join(samples, 'large.bin'));
const prefix = `clients/node_minio-${randomBytes(4).toString('hex')}/`;
const PART_BYTES = 8 << 20;
let failures = 0;

function identity(name) {
  const file = path.join(process.env.KLUIS_ENV_DIR, `${name}.env`);
  if (!fs.existsSync(file)) return null;
  const lines = fs.readFileSync(file, 'utf8').split('\n').filter((line) => line.includes('='));
  return Object.fromEntries(lines.map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at).replace(/^export /, ''), line.slice(at + 1).replace(/^['"]|['"]$/g, '')];
  }));
}

function client(who, secret) {
  const url = new URL(who.AWS_ENDPOINT_URL);
  return new Minio.Client({
    endPoint: url.hostname, port: Number(url.port) || undefined, useSSL: url.protocol === 'https:', pathStyle: true,
    accessKey: who.AWS_ACCESS_KEY_ID, secretKey: secret ?? who.AWS_SECRET_ACCESS_KEY, region: who.AWS_REGION,
    partSize: PART_BYTES,
  });
}

const [owner, job, stranger] = ['owner', 'job', 'stranger'].map(identity);
const s3 = client(owner);
const bucket = owner.KLUIS_BUCKET;
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

async function all(stream) {
  const found = [];
  for await (const piece of stream) found.push(piece);
  return found;
}

const get = async (key, by = s3) => Buffer.concat(await all(await by.getObject(bucket, prefix + key)));
const keys = async (under = '') => (await all(s3.listObjectsV2(bucket, prefix + under, true))).map((entry) => entry.name);

function equal(got, want, what = '') {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what} got ${JSON.stringify(got)?.slice(0, 200)}, want ${JSON.stringify(want)?.slice(0, 200)}`);
  }
}

async function refused(action, code) {
  try {
    await action();
  } catch (error) {
    return equal(error.code, code, `${error.name}:`);
  }
  throw new Error('was not refused');
}

async function check(name, run) {
  try {
    const start = Date.now();
    await run();
    console.log(`PASS node_minio: ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL node_minio: ${name}: ${error.name}: ${String(error.message || error.code).slice(0, 300)}`);
  }
}

await check('small and empty objects with metadata', async () => {
  await s3.putObject(bucket, prefix + 'small', small, small.length, { 'x-amz-meta-colour': 'blue' });
  await s3.putObject(bucket, prefix + 'empty', Buffer.alloc(0));
  equal([sha256(await get('small')), (await get('empty')).length], [sha256(small), 0]);
  const stat = await s3.statObject(bucket, prefix + 'small');
  equal([stat.size, stat.metaData.colour], [small.length, 'blue']);
});

await check('40 MiB from a stream in parts, and a piece of it', async () => {
  await s3.putObject(bucket, prefix + 'large', fs.createReadStream(path.join(samples, 'large.bin')));
  equal(sha256(await get('large')), sha256(large));
  const piece = await all(await s3.getPartialObject(bucket, prefix + 'large', 65530, 65550));
  equal(sha256(Buffer.concat(piece)), sha256(large.subarray(65530, 65530 + 65550)));
});

await check('list, copy, unusual keys', async () => {
  await s3.copyObject(bucket, prefix + 'copy', `/${bucket}/${prefix}small`, new Minio.CopyConditions());
  equal(sha256(await get('copy')), sha256(small));
  equal(await keys(), ['copy', 'empty', 'large', 'small'].map((key) => prefix + key));
  for (const key of ['with space', 'ünï/cödé-日本語', '.hidden', 'plus+sign', 'per%cent%20', "quo'te\"<&>", "(par)*!'"]) {
    await s3.putObject(bucket, `${prefix}odd/${key}`, key);
    equal(String(await get(`odd/${key}`)), key, key);
  }
});

await check('tags', async () => {
  await s3.setObjectTagging(bucket, prefix + 'small', { site: 'A', kind: 'ecg' });
  const tags = await s3.getObjectTagging(bucket, prefix + 'small');
  equal(tags.map(({ Key, Value }) => [Key, Value]).sort(), [['kind', 'ecg'], ['site', 'A']]);
});

await check('presigned GET and PUT', async () => {
  const put = await s3.presignedPutObject(bucket, prefix + 'by-url', 60);
  equal((await fetch(put, { method: 'PUT', body: 'by url' })).status, 200);
  const url = await s3.presignedGetObject(bucket, prefix + 'by-url', 60);
  equal(await (await fetch(url)).text(), 'by url');
});

await check('wrong secret, absent key', async () => {
  await refused(() => get('small', client(owner, 'x'.repeat(40))), 'SignatureDoesNotMatch');
  await refused(() => get('absent'), 'NoSuchKey');
});

if (job && stranger) {
  await check('the job cannot write, the stranger cannot read', async () => {
    equal(sha256(await get('small', client(job))), sha256(small));
    await refused(() => client(job).putObject(bucket, prefix + 'small', 'x'), 'AccessDenied');
    await refused(() => get('small', client(stranger)), 'AccessDenied');
  });
}

await check('delete many', async () => {
  await s3.removeObjects(bucket, await keys());
  equal(await keys(), []);
});

process.exit(failures ? 1 : 0);
