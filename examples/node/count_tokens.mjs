// How long a prompt is, as the model's own provider counts; it costs nothing.
import { post } from "./weir.mjs";

const answer = await post("/v1/messages/count_tokens", {
  model: process.env.MODEL ?? "claude-sonnet-4-6", messages: [{ role: "user", content: "What is a weir?" }],
});
console.log((await answer.json()).input_tokens);
