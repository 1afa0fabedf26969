// The models that a key may use.
const base = process.env.WEIR_URL ?? "http://127.0.0.1:8000";
const answer = await fetch(`${base}/v1/models`, { headers: { authorization: `Bearer ${process.env.KEY}` } });
if (!answer.ok) throw new Error(await answer.text());
for (const model of (await answer.json()).data) console.log(model.id);
