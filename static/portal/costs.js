// The bars of what was spent, and the line of what is left of a budget. Colours are the page's, in both themes.
"use strict";

(() => {
  // A custom property may be light-dark(): only a real colour tells which of the two is worn.
  const colour = (name) => {
    const probe = document.createElement("span");
    probe.hidden = true;
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumSignificantDigits: 4 });
  const LONGEST = 28;
  const cut = (label) => (label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label);
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const charts = [];

  const scale = (more = {}) => ({
    grid: { color: colour("--line") },
    border: { color: colour("--line") },
    ticks: { color: colour("--ink-soft"), maxRotation: 0, autoSkipPadding: 16, ...more },
  });
  const options = () => ({
    animation: isStill ? false : { duration: 250 },
    maintainAspectRatio: false,
    font: { family: getComputedStyle(document.body).fontFamily },
  });

  // One that is as long as the page is wide would be cut off at both ends; the bar itself tells the whole.
  const shortened = (chart) =>
    Chart.defaults.plugins.legend.labels.generateLabels(chart).map((label) => ({ ...label, text: cut(label.text) }));

  const bars = (canvas) => {
    const told = JSON.parse(canvas.dataset.costs);
    const datasets = told.series.map((one) => ({
      label: one.label,
      data: one.points,
      backgroundColor: colour(`--c${one.colour === "other" ? "-other" : one.colour}`),
      maxBarThickness: 48,
    }));
    const open = (event, found) => {
      if (!found.length) return;
      const { index, datasetIndex } = found[0];
      const query = told.series[datasetIndex].query;
      location.href = told.urls[index] + (query ? `&${query}` : "");
    };
    return new Chart(canvas, {
      type: "bar",
      data: { labels: told.labels, datasets },
      options: {
        ...options(),
        onClick: open,
        onHover: (event, found) => { canvas.style.cursor = found.length ? "pointer" : ""; },
        scales: {
          x: { stacked: true, ...scale(), grid: { display: false } },
          y: { stacked: true, beginAtZero: true, ...scale({ callback: (value) => dollars.format(value) }) },
        },
        plugins: {
          legend: { position: "bottom", labels: { color: colour("--ink"), boxWidth: 10, boxHeight: 10, generateLabels: shortened } },
          tooltip: {
            filter: (item) => item.raw !== 0,
            callbacks: { label: (item) => `${item.dataset.label}: ${dollars.format(item.raw)}` },
          },
        },
      },
    });
  };

  const line = (canvas) => {
    const told = JSON.parse(canvas.dataset.burn);
    const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: canvas.dataset.zone });
    const shape = { pointRadius: 0, pointHitRadius: 12, borderWidth: 2, tension: 0 };
    return new Chart(canvas, {
      type: "line",
      data: {
        datasets: [
          { ...shape, label: "Left", data: told.left, borderColor: colour("--c1"), backgroundColor: colour("--c1") },
          { ...shape, label: "Expected", data: told.ahead, borderColor: colour("--c3"), backgroundColor: colour("--c3"), borderDash: [6, 4] },
        ],
      },
      options: {
        ...options(),
        scales: {
          x: { type: "linear", min: told.starts, max: told.ends, ...scale({ callback: (value) => days.format(value) }), grid: { display: false } },
          y: { min: 0, suggestedMax: told.limit, ...scale({ callback: (value) => dollars.format(value) }) },
        },
        plugins: {
          legend: { position: "bottom", labels: { color: colour("--ink"), boxWidth: 10, boxHeight: 10 } },
          tooltip: {
            callbacks: {
              title: (items) => days.format(items[0].parsed.x),
              label: (item) => `${item.dataset.label}: ${dollars.format(item.parsed.y)}`,
            },
          },
        },
      },
    });
  };

  const draw = () => {
    while (charts.length) charts.pop().destroy();
    for (const canvas of document.querySelectorAll("canvas[data-costs]")) charts.push(bars(canvas));
    for (const canvas of document.querySelectorAll("canvas[data-burn]")) charts.push(line(canvas));
  };
  draw();
  document.addEventListener("weir:theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
