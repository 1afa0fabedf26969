// OpenAI's legacy Completions, by a model that chats: whole, and streamed.
import { events, post } from "./weir.mjs";

const body = { model: process.env.MODEL ?? "gpt-5-mini", max_tokens: 100, prompt: "A weir is" };
console.log((await (await post("/v1/completions", body)).json()).choices[0].text);
for await (const chunk of events(await post("/v1/completions", { ...body, stream: true }))) {
  process.stdout.write(chunk.choices[0]?.text ?? "");
}
console.log();
