// OpenAI's Responses, without an SDK: whole, streamed, and with a tool. Nothing is kept between calls.
import { events, post } from "./weir.mjs";

const model = process.env.MODEL ?? "gpt-5-mini";
const tools = [{
  type: "function", name: "get_weather", description: "The weather of a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
}];
const ask = (body) => post("/v1/responses", { model, ...body });
const textOf = (answer) => answer.output.flatMap((item) => item.content ?? []).map((part) => part.text ?? "").join("");

console.log(textOf(await (await ask({ input: "What is a weir?" })).json()));

for await (const event of events(await ask({ input: "What is a weir?", stream: true }))) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
}
console.log();

const turns = [{ role: "user", content: "What is the weather in Paris?" }];
const called = await (await ask({ input: turns, tools })).json();
turns.push(...called.output); // every call brings its whole conversation
for (const item of called.output.filter((one) => one.type === "function_call")) {
  const { city } = JSON.parse(item.arguments);
  turns.push({ type: "function_call_output", call_id: item.call_id, output: `18 degrees in ${city}` });
}
console.log(textOf(await (await ask({ input: turns, tools })).json()));
