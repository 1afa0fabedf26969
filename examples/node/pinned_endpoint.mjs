// A pinned endpoint: its address says which model answers, whatever the program asks for.
import { post } from "./weir.mjs";

const answer = await post(`/e/${process.env.ENDPOINT ?? "sonnet"}/v1/chat/completions`, {
  model: "whatever", messages: [{ role: "user", content: "What is a weir?" }],
});
const { model, choices } = await answer.json();
console.log(model, choices[0].message.content);
