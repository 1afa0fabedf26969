// What the examples beside it share: asking, and reading server-sent events.

/** The data of the events of an answer, one by one. */

export async function* events(answer) {
  let rest = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice("data: ".length));
    }
  }
}

/** POSTs JSON with the key in KEY. Throws with what the gateway says is wrong. */
export async function post(path, body) {
  const answer = await fetch((process.env.WEIR_URL ?? "http://127.0.0.1:8000") + path, {
    method: "POST",
    headers: { authorization: `Bearer ${process.env.KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}
