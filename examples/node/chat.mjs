// A call that fits one line: whole, and streamed.
import { events, post } from "./weir.mjs";

const body = { model: process.env.MODEL ?? "fast", prompt: "What is a weir?" };
console.log((await (await post("/chat", body)).json()).text);
for await (const event of events(await post("/chat", { ...body, stream: true }))) process.stdout.write(event.text ?? "");
console.log();
