// Calls as they happen. A frame is the whole picture: whatever was missed, the next one has it.
"use strict";

(() => {
  const page = document.querySelector("[data-live]");
  if (!page) return;
  const { feed, now: nowUrl, call: callUrl } = page.dataset;
  const part = (name) => page.querySelector(`[data-${name}]`);
  const SILENT = 15000, POLL = 5000, LONGEST = 30000, RECENT = 10;
  let socket = null, failures = 0, heardAt = 0, polling = null, isOver = false;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const named = (text) => {
    const cell = make("td", "name");
    cell.append(make("span", "cut", text));
    return cell;
  };
  const drawn = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  const time = (ms) => (ms === null || ms === undefined ? "—" : ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);
  const dollars = (nano) => {
    const amount = nano / 1e9;
    const digits = amount === 0 || amount >= 1 ? 2 : Math.min(9, 1 - Math.floor(Math.log10(amount)));
    return `$${amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: Math.max(2, digits) })}`;
  };
  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

  const say = (state, words) => {
    const badge = document.querySelector("[data-live-state]");
    badge.className = `badge ${state}`;
    if (badge.textContent !== words) badge.textContent = words;
  };

  const bars = (svg, seconds, from, length, heights) => {
    const most = Math.max(1, ...seconds.map((row) => Math.max(...heights(row))));
    const shapes = [];
    for (const row of seconds) {
      const x = row[0] - from;
      if (x < 0 || x >= length) continue;
      heights(row).forEach((value, layer) => {
        if (value <= 0) return;
        const height = Math.max(1.5, 60 * value / most);
        shapes.push(drawn("rect", { x: x + 0.1, y: 60 - height, width: 0.8, height, class: layer ? "failed" : "went" }));
      });
    }
    svg.setAttribute("viewBox", `0 0 ${length} 60`);
    svg.replaceChildren(...shapes);
    return most;
  };

  const row = (call) => {
    const line = make("tr");
    const when = make("td", "nowrap");
    if (callUrl && call.id) {
      const link = make("a", "", clock(call.at));
      link.href = callUrl.replace("00000000-0000-0000-0000-000000000000", call.id);
      when.append(link);
    } else when.textContent = clock(call.at);
    const who = named([call.tenant, call.who].filter(Boolean).join(" / ") || "—");
    const outcome = make("td");
    if (call.refused) {
      line.className = "refused";
      outcome.colSpan = 5;
      outcome.append(make("span", "badge refused", "Refused"), ` ${call.status}`);
      line.append(when, who, named(call.model), outcome);
      return line;
    }
    outcome.append(make("span", `badge ${call.good ? "good" : call.bad ? "bad" : "warn"}`, call.status));
    line.append(when, who, named(call.model), outcome,
      make("td", "number less", call.tokens.toLocaleString("en")), make("td", "number", call.cost),
      make("td", "number less", time(call.first)), make("td", "number less", time(call.total)));
    return line;
  };

  const resting = (breaker) => {
    const line = make("li");
    line.append(make("span", `badge ${breaker.state === "open" ? "bad" : "warn"}`, breaker.state), ` ${breaker.model} at ${breaker.provider}`);
    const until = breaker.until && breaker.state === "open" ? `, until ${clock(breaker.until)} UTC` : "";
    line.append(make("span", "soft small", ` ${breaker.reason}${until}`));
    return line;
  };

  const show = (frame) => {
    const { seconds, window: length } = frame;
    const from = frame.now - length;
    const sum = (column, since) => seconds.reduce((total, beat) => total + (beat[0] >= since && beat[0] < frame.now ? beat[column] : 0), 0);
    const [calls, failed, cost] = [1, 2, 3].map((column) => sum(column, from));
    const rate = sum(1, frame.now - RECENT) / RECENT;
    part("rate").textContent = rate.toLocaleString("en", { maximumFractionDigits: rate < 10 ? 1 : 0 });
    part("calls").textContent = calls.toLocaleString("en");
    part("errors").textContent = failed.toLocaleString("en");
    part("share").textContent = calls ? `${(100 * failed / calls).toFixed(1)} %` : "none";
    part("errors").classList.toggle("bad", calls > 0 && failed / calls >= 0.05);
    part("spend").textContent = dollars(cost);
    part("refused").textContent = frame.refused.toLocaleString("en");
    const most = bars(part("calls-chart"), seconds, from, length, (beat) => [beat[1], beat[2]]);
    part("most-calls").textContent = calls ? `at most ${most.toLocaleString("en")} a second` : "";
    const dearest = bars(part("spend-chart"), seconds, from, length, (beat) => [beat[3]]);
    part("most-spend").textContent = cost > 0 ? `at most ${dollars(dearest)} a second` : "";
    part("rows").replaceChildren(...frame.calls.map(row));
    part("table").hidden = !frame.calls.length;
    part("none").hidden = frame.calls.length > 0;
    part("breakers").replaceChildren(...frame.breakers.map(resting));
    part("all-closed").hidden = frame.breakers.length > 0;
  };

  const heard = (text) => {
    heardAt = performance.now();
    show(JSON.parse(text));
  };

  const end = () => {
    isOver = true;
    clearInterval(polling);
    say("bad", "Ended: you are signed out, or may no longer look at this");
  };

  // While there is no socket: now and then, and the page says so.
  const poll = async () => {
    try {
      const answer = await fetch(nowUrl, { redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 404) return end();
      if (!answer.ok) throw new Error(String(answer.status));
      heard(await answer.text());
      if (!socket) say("warn", "Not live: every 5 s");
    } catch {
      if (!socket) say("bad", "Not live: the site does not answer");
    }
    return undefined;
  };
  const pollOn = () => { if (!polling && !isOver) { poll(); polling = setInterval(poll, POLL); } };
  const pollOff = () => { clearInterval(polling); polling = null; };

  const connect = () => {
    if (isOver) return;
    const opening = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${feed}`);
    opening.addEventListener("message", (event) => {
      if (socket !== opening) { socket = opening; pollOff(); }
      failures = 0;
      heard(event.data);
      say("good", "Live");
    });
    opening.addEventListener("close", () => {
      if (socket === opening) socket = null;
      pollOn();
      const pause = Math.min(LONGEST, 500 * 2 ** failures) * (0.5 + Math.random());
      failures += 1;
      setTimeout(connect, pause);
    });
  };

  setInterval(() => {
    if (socket && performance.now() - heardAt > SILENT) {
      say("warn", "Not live: nothing was heard for a while");
      socket.close();
    }
  }, 1000);
  connect();
})();
