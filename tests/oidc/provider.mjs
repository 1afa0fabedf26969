// A certified OpenID provider, as strict as it comes: `node provider.mjs '["http://…/back/"]' [http://…/logged-out/]`.
// Whoever types a name is that person; their groups are what follows a dot in it: "ada.devs". The second address is told
// who has left, of the client "weir-told".

import { createServer } from "node:http";

import * as jose from "jose";
import { Provider } from "oidc-provider";

const SECRET = "a secret that both of them know";
const ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"];
const redirects = JSON.parse(process.argv[2]);
const toldAt = process.argv[3];
const leftFor = redirects.map((address) => new URL("/sign-in/", address).href);

const keys = await Promise.all(
  ALGORITHMS.map(async (alg) => {
    const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
    return { ...(await jose.exportJWK(privateKey)), alg, use: "sig", kid: alg };
  }),
);
const client = {
  client_secret: SECRET,
  redirect_uris: redirects,
  post_logout_redirect_uris: leftFor,
  grant_types: ["authorization_code"],
  response_types: ["code"],
};
const clients = ALGORITHMS.map((alg) => ({ ...client, client_id: `weir-${alg}`, id_token_signed_response_alg: alg }));
clients.push({ ...client, client_id: "weir-post", token_endpoint_auth_method: "client_secret_post" });
clients.push({ ...client, client_id: "weir-public", client_secret: undefined, token_endpoint_auth_method: "none" });

if (toldAt) {
  const told = { backchannel_logout_uri: toldAt, backchannel_logout_session_required: true };
  clients.push({ ...client, client_id: "weir-told", ...told });
}

function account(id) {
  const [name, ...groups] = id.split(".");
  const told = { sub: id, email: `${name}@example.com`, email_verified: name !== "eve", given_name: name, groups };
  return { accountId: id, claims: async () => told };
}

const server = createServer((request, response) => answer(request, response));
let answer;
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: ["signs what it remembers"] },
    features: { backchannelLogout: { enabled: true } },
    pkce: { required: () => true, methods: ["S256"] },
    scopes: ["openid", "email", "profile", "groups"],
    claims: { email: ["email", "email_verified"], profile: ["given_name"], groups: ["groups"] },
    findAccount: (_, id) => account(id),
  });
  answer = provider.callback();
  console.log(JSON.stringify({ ready: "issuer", url: issuer }));
});
