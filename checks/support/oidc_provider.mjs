// A real provider of OpenID Connect for checks/sso.py, on a free port that it prints.
// node oidc_provider.mjs .../node_modules/oidc-provider/lib/index.js
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

console.info = console.warn = () => {}; // it says at length that this isn't for production
const { default: Provider } = await import(pathToFileURL(process.argv[2]));

const key = (kid, type, options) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig" };
};
const client = (client_id, id_token_signed_response_alg) => ({
  client_id,
  client_secret: "more than a +/:%& will tell",
  id_token_signed_response_alg,
  redirect_uris: ["http://127.0.0.1/oidc/callback"],
});

// At localhost it is another site than ours at 127.0.0.1, as in life.
const server = createServer().listen(0, "127.0.0.1", () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [client("RS256 client", "RS256"), client("ES256 client", "ES256")],
    jwks: {
      keys: [
        key("one", "rsa", { modulusLength: 2048 }),
        key("two", "ec", { namedCurve: "P-256" }),
      ],
    },
    cookies: { keys: ["only for tests"] },
    claims: { openid: ["sub"], profile: ["preferred_username"] },
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, preferred_username: `${sub.toUpperCase()}@example.org` }),
    }),
    pkce: { required: () => true },
  });
  // Our server takes a free port after this one has started.
  provider.Client.prototype.redirectUriAllowed = (place) =>
    /^http:\/\/127\.0\.0\.1:\d+\/oidc\/callback$/.test(place);
  server.on("request", provider.callback());
  process.stdout.write(`${issuer}\n`);
});
