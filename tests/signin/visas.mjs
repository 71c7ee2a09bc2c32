// A real issuer of visas for the tests: prints its URL, then a visa for each line `{header, claims, stranger}` that it reads, signed
// (RS256) by the key that it publishes, or by a stranger's under the same name.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(path.join(process.env.LAB_CACHE, 'node', 'x.js'));
const { CompactSign, exportJWK, generateKeyPair } = await import(require.resolve('jose'));

const [own, strangers] = await Promise.all([generateKeyPair('RS256'), generateKeyPair('RS256')]);
const keys = [{ ...await exportJWK(own.publicKey), kid: 'visa-1', use: 'sig', alg: 'RS256' }];
const server = createServer((request, response) => {
  response.writeHead(request.url === '/jwks' ? 200 : 404, { 'content-type': 'application/json' });
  response.end(request.url === '/jwks' ? JSON.stringify({ keys }) : '');
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const url = `http://127.0.0.1:${server.address().port}`;
console.log(url);
for await (const line of createInterface({ input: process.stdin })) {
  const { header, claims, stranger } = JSON.parse(line);
  const payload = new TextEncoder().encode(JSON.stringify({ iss: url, ...claims }));
  const visa = new CompactSign(payload).setProtectedHeader({
    alg: 'RS256', kid: 'visa-1', jku: `${url}/jwks`, typ: 'vnd.ga4gh.visa+jwt', ...header,
  });
  console.log(await visa.sign(stranger ? strangers.privateKey : own.privateKey));
}
server.close();
