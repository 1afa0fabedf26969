// A receiver of Weir's webhooks: takes what its sender has signed, and nothing else.
// SECRET=whsec_… PORT=9000 node verify_webhook.mjs        the secret is shown when the webhook is made
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.SECRET.replace(/^whsec_/, ""), "base64");
const AT_MOST_SECONDS = 300; // older ones may be somebody's who has listened

function isSigned(headers, body) {
  const at = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > AT_MOST_SECONDS) return false;
  const right = createHmac("sha256", key).update(`${headers["webhook-id"]}.${at}.`).update(body).digest();
  // While a secret is being rotated there are two signatures, with a space between them.
  return (headers["webhook-signature"] ?? "").split(" ").filter((mark) => mark.startsWith("v1,")).some((mark) => {
    const given = Buffer.from(mark.slice("v1,".length), "base64");
    return given.length === right.length && timingSafeEqual(given, right);
  });
}

const server = createServer(async (request, answer) => {
  const body = Buffer.concat(await request.toArray());
  const good = isSigned(request.headers, body);
  // `webhook-id` is the same at every try: do what you do once for each.
  if (good) console.log(request.headers["webhook-id"], JSON.parse(body).type);
  answer.writeHead(good ? 204 : 401).end();
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
