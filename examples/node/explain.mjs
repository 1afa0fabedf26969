// Where a call would go, what it would cost at most and what restrains it; no provider is asked.
import { post } from "./weir.mjs";

const answer = await post("/v1/explain", {
  endpoint: "messages",
  request: {
    model: process.env.MODEL ?? "claude-sonnet-4-6", max_tokens: 200,
    messages: [{ role: "user", content: "What is a weir?" }],
  },
});
for (const { state, reason, cost } of (await answer.json()).deployments) console.log(state, reason, cost.most);
