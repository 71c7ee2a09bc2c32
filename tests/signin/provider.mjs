// A real OpenID provider process for the tests: prints its URL, then a token for each line `sub aud seconds [claims as JSON]` that it reads.
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(path.join(process.env.LAB_CACHE, 'node', 'x.js'));
const { OAuth2Server } = await import(require.resolve('oauth2-mock-server'));

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
console.log(server.issuer.url);
for await (const line of createInterface({ input: process.stdin })) {
  const [sub, aud, seconds, more] = line.split(' ');
  console.log(await server.issuer.buildToken({
    scopesOrTransform: (_header, payload) => Object.assign(payload, { sub, aud }, JSON.parse(more ?? '{}')),
    expiresIn: Number(seconds),
  }));
}
await server.stop();
