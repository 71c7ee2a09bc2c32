// The AWS SDK for JavaScript v3: CRC32 trailers over streams, its own multipart upload, its own presigner.
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.LAB_CACHE, 'node', 'x.js'));
const s3sdk = require('@aws-sdk/client-s3');
const { Upload } = require('@aws-sdk/lib-storage');
const { getSignedUrl } = require('@aws-sdk/s3-request-presigner');

const samples = process.env.KLUIS_SAMPLES;
const small = fs.readFileSync(path.join(samples, 'small.bin'));
const large = fs.readFileSync(path.join(samples, 'large.bin'));
const prefix = `clients/node_sdk-${randomBytes(4).toString('hex')}/`;
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

function client(who, secret, more = {}) {
  return new s3sdk.S3Client({
    endpoint: who.AWS_ENDPOINT_URL, region: who.AWS_REGION, forcePathStyle: true, maxAttempts: 1, ...more,
    credentials: { accessKeyId: who.AWS_ACCESS_KEY_ID, secretAccessKey: secret ?? who.AWS_SECRET_ACCESS_KEY },
  });
}

const [owner, job, stranger] = ['owner', 'job', 'stranger'].map(identity);
const s3 = client(owner);
const Bucket = owner.KLUIS_BUCKET;
const send = (name, input, by = s3) => by.send(new s3sdk[`${name}Command`]({ Bucket, ...input }));
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const get = async (Key, more = {}) =>
  Buffer.from(await (await send('GetObject', { Key: prefix + Key, ...more })).Body.transformToByteArray());

function equal(got, want, what = '') {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what} got ${JSON.stringify(got)?.slice(0, 200)}, want ${JSON.stringify(want)?.slice(0, 200)}`);
  }
}

async function refused(action, status) {
  try {
    await action();
  } catch (error) {
    return equal(error.$metadata?.httpStatusCode, status, `${error.name}:`);
  }
  throw new Error('was not refused');
}

async function check(name, run) {
  try {
    await run();
    console.log(`PASS node_sdk: ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL node_sdk: ${name}: ${error.name}: ${String(error.message).slice(0, 400).replace(/\s+/g, ' ')}`);
  }
}

await check('small and empty objects with metadata', async () => {
  await send('PutObject', { Key: prefix + 'small', Body: small, Metadata: { colour: 'blue' }, ContentType: 'text/x-sample' });
  await send('PutObject', { Key: prefix + 'empty', Body: '' });
  equal([sha256(await get('small')), (await get('empty')).length], [sha256(small), 0]);
  const head = await send('HeadObject', { Key: prefix + 'small' });
  equal([head.ContentLength, head.Metadata, head.ContentType], [5120, { colour: 'blue' }, 'text/x-sample']);
});

await check('a stream of 40 MiB in one request, with a trailer', async () => {
  const Body = fs.createReadStream(path.join(samples, 'large.bin'));
  await send('PutObject', { Key: prefix + 'stream', Body, ContentLength: large.length });
  equal(sha256(await get('stream')), sha256(large));
});

await check('40 MiB in parts', async () => {
  const Body = fs.createReadStream(path.join(samples, 'large.bin'));
  await new Upload({ client: s3, partSize: PART_BYTES, params: { Bucket, Key: prefix + 'large', Body } }).done();
  equal(sha256(await get('large')), sha256(large));
});

await check('ranges', async () => {
  for (const [first, last] of [[0, 0], [65535, 65536], [8388600, 8388620], [41943039, 41943039]]) {
    equal(sha256(await get('large', { Range: `bytes=${first}-${last}` })), sha256(large.subarray(first, last + 1)), `${first}-${last}`);
  }
  await refused(() => get('large', { Range: 'bytes=41943040-' }), 416);
});

await check('list: pages, delimiter, sizes and ETags as in HEAD', async () => {
  const keys = [];
  for await (const page of s3sdk.paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket, Prefix: prefix })) {
    keys.push(...page.Contents);
  }
  equal(keys.map((entry) => entry.Key.slice(prefix.length)), ['empty', 'large', 'small', 'stream']);
  for (const entry of keys) {
    const head = await send('HeadObject', { Key: entry.Key });
    equal([head.ContentLength, head.ETag], [entry.Size, entry.ETag], entry.Key);
  }
  const top = await send('ListObjectsV2', { Prefix: prefix.slice(0, -1), Delimiter: '/' });
  equal(top.CommonPrefixes.map((entry) => entry.Prefix), [prefix]);
});

await check('unusual keys', async () => {
  for (const key of ['with space', 'ünï/cödé-日本語', '.hidden', 'plus+sign', 'per%cent%20', "quo'te\"<&>", 'que?ry=a&b#c', "(par)*!'"]) {
    await send('PutObject', { Key: `${prefix}odd/${key}`, Body: key });
    equal(String(await get(`odd/${key}`)), key, key);
  }
});

await check('copy', async () => {
  await send('CopyObject', { Key: prefix + 'copy', CopySource: encodeURI(`${Bucket}/${prefix}odd/with space`) });
  equal(String(await get('copy')), 'with space');
});

await check('conditional writes and reads', async () => {
  const first = await send('PutObject', { Key: prefix + 'once', Body: '1', IfNoneMatch: '*' });
  await refused(() => send('PutObject', { Key: prefix + 'once', Body: '2', IfNoneMatch: '*' }), 412);
  await send('PutObject', { Key: prefix + 'once', Body: '3', IfMatch: first.ETag });
  await refused(() => send('PutObject', { Key: prefix + 'once', Body: '4', IfMatch: first.ETag }), 412);
  await refused(() => get('once', { IfMatch: first.ETag }), 412);
  equal(String(await get('once')), '3');
});

await check('presigned GET and PUT', async () => {
  // By default this SDK signs the CRC32 of an empty body into a presigned PUT, which no body then matches.
  const plain = client(owner, undefined, { requestChecksumCalculation: 'WHEN_REQUIRED' });
  const put = await getSignedUrl(plain, new s3sdk.PutObjectCommand({ Bucket, Key: prefix + 'by-url' }), { expiresIn: 60 });
  equal((await fetch(put, { method: 'PUT', body: 'by url' })).status, 200);
  const url = await getSignedUrl(s3, new s3sdk.GetObjectCommand({ Bucket, Key: prefix + 'by-url' }), { expiresIn: 60 });
  equal(await (await fetch(url)).text(), 'by url');
});

await check('wrong secret, absent key', async () => {
  await refused(() => send('GetObject', { Key: prefix + 'small' }, client(owner, 'x'.repeat(40))), 403);
  await refused(() => get('absent'), 404);
});

if (job && stranger) {
  await check('the job cannot write, the stranger cannot read', async () => {
    await send('GetObject', { Key: prefix + 'small' }, client(job)).then((answer) => answer.Body.transformToByteArray());
    await refused(() => send('PutObject', { Key: prefix + 'small', Body: 'x' }, client(job)), 403);
    await refused(() => send('DeleteObject', { Key: prefix + 'small' }, client(job)), 403);
    await refused(() => send('GetObject', { Key: prefix + 'small' }, client(stranger)), 403);
  });
}

await check('delete many', async () => {
  const found = (await send('ListObjectsV2', { Prefix: prefix })).Contents.map(({ Key }) => ({ Key }));
  const answer = await send('DeleteObjects', { Delete: { Objects: found } });
  equal([answer.Deleted.length, answer.Errors ?? []], [found.length, []]);
  equal((await send('ListObjectsV2', { Prefix: prefix })).KeyCount, 0);
});

process.exit(failures ? 1 : 0);
