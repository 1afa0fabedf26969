// The official SDKs of Node, asked through a gateway. Reads {base, key, model, words} as JSON from its argument, passes
// every verdict, and prints what the SDKs understood as one line of JSON, by verdict.

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { base, key, model, words } = JSON.parse(process.argv[2]);
const defaultHeaders = words ? { "x-simulate": words } : {};
const claude = new Anthropic({ apiKey: key, baseURL: base, maxRetries: 0, defaultHeaders });
const gpt = new OpenAI({ apiKey: key, baseURL: `${base}/v1`, maxRetries: 0, defaultHeaders });

const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
const HELLO = [{ role: "user", content: "Hello there, says Ada." }];
const PARIS = [{ role: "user", content: "What is the weather in Paris?" }];
const TOOL = { name: "get_weather", description: "The weather of a city", input_schema: WEATHER };
const FUNCTION = { name: "get_weather", description: "The weather of a city", parameters: WEATHER };

function message(told) {
  const texts = told.content.filter((block) => block.type === "text").map((block) => block.text);
  const thoughts = told.content.filter((block) => block.type === "thinking").map((block) => block.thinking);
  const calls = told.content.filter((block) => block.type === "tool_use").map(({ name, input }) => [name, input]);
  return { text: texts.join(""), thinking: thoughts.join(""), calls, stop: told.stop_reason, out: told.usage.output_tokens };
}

function completion(told) {
  const { message: said, finish_reason: stop } = told.choices[0];
  const calls = (said.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
  return { text: said.content ?? "", calls, stop, out: told.usage?.completion_tokens };
}

function response(told) {
  const calls = told.output.filter((item) => item.type === "function_call");
  const read = calls.map((call) => [call.name, JSON.parse(call.arguments)]);
  return { text: told.output_text, calls: read, stop: told.status, out: told.usage.output_tokens };
}

const asked = { model, max_tokens: 900, messages: HELLO };
const verdicts = {
  "messages.create": async () => message(await claude.messages.create(asked)),
  "messages.stream": async () => message(await claude.messages.stream(asked).finalMessage()),
  "messages.tools": async () =>
    message(await claude.messages.stream({ ...asked, messages: PARIS, tools: [TOOL] }).finalMessage()),
  "messages.thinking": async () => {
    const thinking = { type: "enabled", budget_tokens: 1024 };
    return message(await claude.messages.stream({ ...asked, max_tokens: 4000, thinking }).finalMessage());
  },
  "messages.count": async () => ({ tokens: (await claude.messages.countTokens({ model, messages: HELLO })).input_tokens }),
  "messages.models": async () => ({ ids: (await claude.models.list({ limit: 1000 })).data.map((entry) => entry.id) }),
  "chat.create": async () => completion(await gpt.chat.completions.create({ model, messages: HELLO })),
  "chat.stream": async () => {
    const stream_options = { include_usage: true };
    const stream = gpt.chat.completions.stream({ model, messages: HELLO, stream_options });
    return completion(await stream.finalChatCompletion());
  },
  "chat.tools": async () => {
    const tools = [{ type: "function", function: FUNCTION }];
    return completion(await gpt.chat.completions.stream({ model, messages: PARIS, tools }).finalChatCompletion());
  },
  "chat.runTools": async () => {
    const told = { ...FUNCTION, parse: JSON.parse, function: ({ city }) => `18 degrees in ${city}` };
    const tools = [{ type: "function", function: told }];
    const runner = gpt.chat.completions.runTools({ model, messages: PARIS, tools, stream: true });
    return { text: await runner.finalContent() };
  },
  "chat.models": async () => ({ ids: (await gpt.models.list()).data.map((entry) => entry.id) }),
  "responses.create": async () => response(await gpt.responses.create({ model, input: HELLO })),
  "responses.stream": async () => response(await gpt.responses.stream({ model, input: HELLO }).finalResponse()),
  "responses.tools": async () => {
    const tools = [{ type: "function", strict: false, ...FUNCTION }];
    return response(await gpt.responses.stream({ model, input: PARIS, tools }).finalResponse());
  },
  "completions.create": async () => {
    const told = await gpt.completions.create({ model, prompt: "Hello there, says Ada.", max_tokens: 200 });
    return { text: told.choices[0].text, stop: told.choices[0].finish_reason };
  },
  "embeddings.create": async () => {
    const told = await gpt.embeddings.create({ model, input: ["Hello", "there"] });
    return { sizes: told.data.map((entry) => entry.embedding.length), tokens: told.usage.prompt_tokens };
  },
};

async function passed(verdict) {
  try {
    return await verdict();
  } catch (error) {
    return { failed: error.constructor.name, status: error.status ?? null, message: error.message };
  }
}

const told = {};
for (const [name, verdict] of Object.entries(verdicts)) told[name] = await passed(verdict);
console.log(JSON.stringify(told));
