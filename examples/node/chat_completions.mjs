// OpenAI's Chat Completions, without an SDK: whole, streamed, and with a tool.
import { events, post } from "./weir.mjs";

const model = process.env.MODEL ?? "gpt-5-mini";
const question = [{ role: "user", content: "What is a weir?" }];
const tools = [{
  type: "function",
  function: {
    name: "get_weather", description: "The weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
}];
const ask = (body) => post("/v1/chat/completions", { model, ...body });

const whole = await (await ask({ messages: question })).json();
console.log(whole.choices[0].message.content, whole.usage.completion_tokens);

for await (const chunk of events(await ask({ messages: question, stream: true }))) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
console.log();

const turns = [{ role: "user", content: "What is the weather in Paris?" }];
const { message } = (await (await ask({ messages: turns, tools })).json()).choices[0];
turns.push(message);
for (const call of message.tool_calls ?? []) {
  const { city } = JSON.parse(call.function.arguments);
  turns.push({ role: "tool", tool_call_id: call.id, content: `18 degrees in ${city}` });
}
console.log((await (await ask({ messages: turns, tools })).json()).choices[0].message.content);
