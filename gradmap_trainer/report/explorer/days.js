// A home's day in pictures and numbers, and all days at a glance.

const HOURS = 24;

function clockTime(hour) {
  return `${String(Math.floor(hour)).padStart(2, "0")}:${String(Math.round((hour % 1) * 60)).padStart(2, "0")}`;
}

// A picture of some lines over the day: {values, stroke, ended, chosen} each, in steps or from point to point.
function dayPlot(view, choose, { label, lines, format, marks = [], stairs = true, height = 130 }) {
  const { steps, step } = view;
  const hours = HOURS / steps;
  const points = ({ values }) => {
    const found = Array.from(values, (value, row) => ({ hour: row * hours, value }));
    return stairs ? [...found, { hour: found.length * hours, value: found.at(-1).value }] : found;
  };
  const curve = stairs ? "step-after" : "linear";
  const drawn = [...lines].sort((one, other) => Boolean(one.chosen) - Boolean(other.chosen));
  const told = lines.find(({ chosen }) => chosen);
  const plot = Plot.plot({
    width: byId("home").clientWidth,
    height,
    marginLeft: 52,
    marginTop: 12,
    marginBottom: 24,
    style: { background: "transparent" },
    ariaLabel: label,
    x: { domain: [0, HOURS], ticks: [0, 6, 12, 18, 24], tickFormat: clockTime, label: null },
    y: { label: null, grid: true, ticks: 4, tickFormat: format.axis },
    marks: [
      ...marks,
      ...drawn.map((line) =>
        Plot.lineY(points(line), {
          x: "hour",
          y: "value",
          curve,
          stroke: line.stroke,
          strokeWidth: line.chosen ? 2 : 1,
          strokeOpacity: line.chosen ? 1 : 0.5,
        }),
      ),
      Plot.ruleX([(step + 0.5) * hours], { stroke: "currentColor", strokeOpacity: 0.6, strokeDasharray: "2 3" }),
      Plot.tip(
        points(told).slice(0, told.values.length),
        Plot.pointerX({ x: "hour", y: "value", title: ({ hour, value }) => `${clockTime(hour)}: ${format.told(value)}` }),
      ),
    ],
  });
  plot.addEventListener("click", (event) => {
    const hour = plot.scale("x").invert(d3.pointer(event, plot)[0]);
    choose({ step: Math.min(Math.max(Math.floor(hour / hours), 0), steps - 1) });
  });
  return element("div", {}, element("h3", {}, label), plot);
}

function drawHome(view, choose) {
  const { about, agent, method, day, numbers, steps, voltage } = view;
  const of = (values, row) => values.slice(row * steps, (row + 1) * steps);
  const byMethod = (values) =>
    about.methods.map(({ colour: stroke }, row) => ({ values: values(numbers[row]), stroke, chosen: row === method }));
  const price = { values: about.price[day], stroke: "currentColor", chosen: true };
  const plots = [
    dayPlot(view, choose, {
      label: `Price, ${about.currency}/kWh`,
      lines: [price],
      height: 100,
      format: { axis: ".2f", told: (value) => value.toFixed(4) },
    }),
    dayPlot(view, choose, {
      label: "Power at the meter, kW",
      lines: byMethod(({ power }) => of(power, agent)),
      format: { told: kilowatts },
      marks: [Plot.ruleY([0], { strokeOpacity: 0.5 })],
      height: 160,
    }),
  ];
  for (const row of view.devices) {
    const device = about.devices[row];
    const own = ({ store }) =>
      of(store, row)
        .map((value) => device.offset + device.scale * value)
        .slice(device.ended ? 1 : 0);
    const corners = { x1: "x1", x2: "x2", y1: "y1", y2: "y2" };
    const band = { y1: device.offset, y2: device.offset + device.scale, x1: 0, x2: HOURS };
    plots.push(
      dayPlot(view, choose, {
        label: `${device.kind}: ${device.title}`,
        lines: byMethod(own),
        stairs: device.ended,
        format: {
          axis: device.percent ? "%" : undefined,
          told: (value) => (device.percent ? percent(value, 0) : value.toFixed(1)),
        },
        marks: device.band ? [Plot.rect([band], { ...corners, fill: "currentColor", fillOpacity: 0.07 })] : [],
      }),
    );
  }
  const kind = about.limits.indexOf(voltage);
  const volts = view.nodes.flatMap((node) => byMethod(({ limited }) => of(limited[kind], node)));
  const edges = voltage.bounds.filter((edge) => edge !== null);
  plots.push(
    dayPlot(view, choose, {
      label: `Voltage at ${about.agents[agent].nodes.join(", ")}, pu; dashed: limits`,
      lines: volts,
      format: { axis: ".2f", told: (value) => quantity(voltage, value) },
      marks: [Plot.ruleY(edges, { stroke: colour("bad"), strokeDasharray: "5 4" })],
    }),
  );
  byId("home").replaceChildren(...plots);
}

function tellHome(view) {
  const { about, agent, day, step, steps, played, voltage, nodes, devices } = view;
  const { name, place } = about.agents[agent];
  const kinds = devices.map((row) => about.devices[row].kind);
  const volts = played.limited[about.limits.indexOf(voltage)];
  byId("agent-title").textContent = `The day of ${name}`;
  byId("agent-about").textContent =
    `At ${place} (bus.phase), with ${kinds.join(", ")}. Bold: ${about.methods[view.method].name}; pale: the other methods.`;
  const header = ["time", `${about.currency}/kWh`, "°C outdoors", "kW", ...kinds, ...about.agents[agent].nodes];
  const rows = about.times.map((time, row) => {
    const cells = [
      about.price[day][row].toFixed(4),
      withSign(about.outdoor[day][row].toFixed(1)),
      withSign(played.power[agent * steps + row].toFixed(2)),
      ...devices.map((device) => state(about.devices[device], played.store[device * steps + row])),
      ...nodes.map((node) => volts[node * steps + row]).map((value) => (Number.isNaN(value) ? "–" : value.toFixed(4))),
    ].map((text) => element("td", {}, text));
    return element("tr", { "aria-current": row === step && "time" }, element("th", { scope: "row" }, time), ...cells);
  });
  const head = element("tr", {}, ...header.map((text) => element("th", { scope: "col" }, text)));
  byId("table").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function drawAll(view, choose) {
  const { about, method, day, step, steps } = view;
  const days = about.dates.length;
  const width = byId("all").clientWidth;
  const across = width < 600 ? 4 : 8;
  const every = Math.ceil(days / 40);
  const plot = Plot.plot({
    width,
    height: Math.min(640, Math.max(60, 14 * days)) + 40,
    marginLeft: 84,
    style: { background: "transparent" },
    ariaLabel: "How near the network came to its limits in every step of every day",
    x: {
      domain: [0, steps],
      ticks: d3.range(0, steps + 1, steps / across),
      tickFormat: (row) => clockTime((row * HOURS) / steps),
      label: null,
    },
    y: {
      domain: [0, days],
      reverse: true,
      ticks: d3.range(0, days, every).map((row) => row + 0.5),
      tickFormat: (row) => about.dates[Math.floor(row)],
      tickSize: 0,
      label: null,
    },
    color: {
      type: "linear",
      domain: [0, 100, 100.01, 130],
      range: [colour("wash"), LOADED, colour("bad"), colour("bad")],
      clamp: true,
    },
    marks: [
      Plot.raster(about.methods[method].nearest.flat(), { width: steps, height: days, imageRendering: "pixelated" }),
      Plot.rect([{}], { x1: step, x2: step + 1, y1: day, y2: day + 1, stroke: "currentColor", strokeWidth: 2 }),
    ],
  });
  plot.addEventListener("click", (event) => {
    const [x, y] = d3.pointer(event, plot);
    const [column, row] = [plot.scale("x").invert(x), plot.scale("y").invert(y)].map(Math.floor);
    if (column >= 0 && column < steps && row >= 0 && row < days) choose({ day: row, step: column });
  });
  byId("all").replaceChildren(plot);
}
