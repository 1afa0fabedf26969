// OpenAI's embeddings: one vector a text. The demo has no such model: MODEL= names one of yours.
import { post } from "./weir.mjs";

const answer = await post("/v1/embeddings", {
  model: process.env.MODEL ?? "text-embedding-3-small", input: ["A weir regulates a stream.", "And measures it."],
});
for (const { embedding } of (await answer.json()).data) console.log(embedding.length, embedding.slice(0, 3));
