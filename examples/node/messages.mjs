// Anthropic's Messages, without an SDK: whole, streamed, and with a tool.
import { events, post } from "./weir.mjs";

const model = process.env.MODEL ?? "claude-sonnet-4-6";
const question = [{ role: "user", content: "What is a weir?" }];
const tools = [{
  name: "get_weather", description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
}];
const ask = (body) => post("/v1/messages", { model, max_tokens: 200, ...body });

const whole = await (await ask({ messages: question })).json();
console.log(whole.content[0].text, whole.usage.output_tokens);

for await (const event of events(await ask({ messages: question, stream: true }))) {
  if (event.type === "content_block_delta") process.stdout.write(event.delta.text ?? "");
}
console.log();

const turns = [{ role: "user", content: "What is the weather in Paris?" }];
const called = await (await ask({ messages: turns, tools })).json();
const results = called.content.filter((block) => block.type === "tool_use").map((block) => (
  { type: "tool_result", tool_use_id: block.id, content: `18 degrees in ${block.input.city}` }
));
turns.push({ role: "assistant", content: called.content }, { role: "user", content: results });
console.log((await (await ask({ messages: turns, tools })).json()).content[0].text);
