// The management API: makes a tenant, a project, a key, a budget and a limit, raises the budget, and reads what was used.
// WEIR_API_TOKEN is a token that may write (in the admin: Access, API tokens, Add), not a key.
const base = process.env.WEIR_URL ?? "http://127.0.0.1:8000";

/** What is answered, and its ETag. Throws what the API says is wrong. */
async function api(method, path, body, headers = {}) {
  const answer = await fetch(path.startsWith("http") ? path : `${base}/api/v1/${path}`, {
    method,
    headers: { Authorization: `Bearer ${process.env.WEIR_API_TOKEN}`, "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.title), { problem: told });
  return [told, answer.headers.get("etag")];
}

/** Every row, page by page: `next` is the whole address of the page after. */
async function* listed(path) {
  while (path) {
    const [page] = await api("GET", path);
    yield* page.items;
    path = page.next;
  }
}

const run = crypto.randomUUID().slice(0, 8);
// With an Idempotency-Key a POST can be sent again, as after a broken connection: it is done once.
const once = { "Idempotency-Key": `tenant-${run}` };
const [tenant] = await api("POST", "tenants", { name: `Initech ${run}` }, once);
const [again] = await api("POST", "tenants", { name: `Initech ${run}` }, once);
if (again.id !== tenant.id) throw new Error("it was done twice");
const [project] = await api("POST", "projects", { tenant: tenant.id, name: "Website" });
const [key] = await api("POST", "keys", { tenant: tenant.id, project: project.id, name: "backend" });
console.log("shown this once:", `${key.secret.slice(0, 12)}…`);

// Money is whole billionths of a dollar: $25 a month.
const [budget] = await api("POST", "budgets", { project: project.id, amount_nano_usd: 25_000_000_000, period: "month" });
await api("POST", "limits", { project: project.id, requests_per_minute: 60 });

// More of it for an hour.
const until = new Date(Date.now() + 3_600_000).toISOString();
const more = { budget: budget.id, amount_nano_usd: 5_000_000_000, until, reason: "The launch" };
const [asked] = await api("POST", "increases", more); // for whoever may not decide it, this is all there is to do
const [increase] = await api("POST", `increases/${asked.id}/approve`, {});
console.log("increase:", increase.state);

// What is changed must be what was read: its ETag goes into If-Match.
const [, etag] = await api("GET", `projects/${project.id}`);
await api("PATCH", `projects/${project.id}`, { name: "Shop" }, { "If-Match": etag });
try {
  await api("PATCH", `projects/${project.id}`, { name: "Too late" }, { "If-Match": etag });
} catch (refused) {
  console.log("refused:", refused.problem.code);
}

let keys = 0;
for await (const _ of listed("keys?limit=2")) keys += 1;
console.log("keys:", keys);
const [costs] = await api("GET", "usage/costs?by=model");
console.log("costs:", JSON.stringify(costs).slice(0, 200));
const [newest] = await api("GET", "usage/entries?limit=1");
console.log("newest call:", newest.items.slice(0, 1));
