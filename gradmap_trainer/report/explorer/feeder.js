// The feeder at a moment: a map, and what there is to know of one bus.

const LOW_COLOURS = ["#6e2c00", "#cc640c", "#f3b266"];
const HIGH_COLOURS = ["#b3a5df", "#7248bd", "#2a0f57"];
const LOADED = "#1f6fb2";
const EMPTY_WIDTH = 1.2;
const FULL_WIDTH = 6;
// Of the map: pixels, and the height over the width.
const TALLEST = 620;
const FLATTEST = 0.25;
const STEEPEST = 1.5;
const MOST_NAMED = 40;

// Pale well within the limits, with a step at each, as in the report.
function limitScale(limit) {
  const [low, high] = limit.bounds;
  const stops = [[limit.middle, colour("middle")]];
  if (low !== null) {
    const end = low - 0.5 * (limit.middle - low);
    stops.unshift([end, LOW_COLOURS[0]], [low, LOW_COLOURS[1]], [low + 1e-9, LOW_COLOURS[2]]);
  }
  if (high !== null) {
    const end = high + 0.5 * (high - limit.middle);
    stops.push([high, HIGH_COLOURS[0]], [high + 1e-9, HIGH_COLOURS[1]], [end, HIGH_COLOURS[2]]);
  }
  return { type: "linear", domain: stops.map(([at]) => at), range: stops.map(([, shade]) => shade), clamp: true };
}

function loadingScale() {
  const domain = [0, 1, 1 + 1e-9, 1.3];
  return { type: "linear", domain, range: [colour("empty"), LOADED, colour("bad"), colour("bad")], clamp: true };
}

function drawLegends(view) {
  const { voltage, loading } = view;
  const ticks = [voltage.bounds[0], voltage.middle, voltage.bounds[1]].filter((edge) => edge !== null);
  byId("legends").replaceChildren(
    legend(limitScale(voltage), voltage.title, ticks, String),
    legend(loadingScale(), "share of a line's limit", [0, 0.5, 1], (share) => percent(share, 0)),
  );
}

// A ramp whose colours stand where their values do, steps at the limits included.
function legend({ domain, range }, title, ticks, format) {
  const across = (value) => `${(100 * (value - domain[0])) / (domain.at(-1) - domain[0])}%`;
  const ramp = element("div", { class: "ramp" });
  const stops = domain.map((value, row) => `${range[row]} ${across(value)}`);
  ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const labels = ticks.map((value) => {
    const label = element("span", {}, format(value));
    label.style.left = across(value);
    return label;
  });
  return element("div", { class: "legend" }, title, ramp, element("div", { class: "ticks" }, ...labels));
}

// By bus: its places under each kind of limit, the ends of links at it, and the homes.
function surroundings(about) {
  const found = about.buses.map(() => ({ places: about.limits.map(() => []), links: [], homes: [] }));
  about.limits.forEach((limit, kind) => {
    limit.bus.forEach((bus, place) => bus >= 0 && found[bus].places[kind].push(place));
  });
  about.links.forEach((link, row) => [link.from, link.to].forEach((bus) => found[bus].links.push(row)));
  about.agents.forEach(({ bus }, agent) => found[bus].homes.push(agent));
  return found;
}

// By link its places under a kind of limit.
function linkPlaces(about, limit) {
  const found = about.links.map(() => []);
  limit.link.forEach((link, place) => link >= 0 && found[link].push(place));
  return found;
}

function drawFeeder(view, choose) {
  const { about, voltage, loading, steps, step, played, around, onLinks } = view;
  const [volts, loads] = [voltage, loading].map((limit) => played.limited[about.limits.indexOf(limit)]);
  const row = about.limits.indexOf(voltage);
  const buses = about.buses.flatMap(({ name, at }, bus) => {
    if (!at) return [];
    const value = worst(voltage, volts, step, steps, around[bus].places[row])?.value;
    return [{ bus, name, x: at[0], y: at[1], value, out: isOutside(voltage, value) }];
  });
  const links = about.links.flatMap(({ from, to }, link) => {
    const ends = [about.buses[from].at, about.buses[to].at];
    if (!ends[0] || !ends[1]) return [];
    const share = (worst(loading, loads, step, steps, onLinks[link])?.value ?? 0) / loading.bounds[1];
    return [{ x1: ends[0][0], y1: ends[0][1], x2: ends[1][0], y2: ends[1][1], share }];
  });
  const extent = (of) => d3.max(buses, of) - d3.min(buses, of);
  const shape = extent(({ y }) => y) / extent(({ x }) => x) || 1;
  const steepness = Math.min(Math.max(shape, FLATTEST), STEEPEST);
  const room = byId("feeder").clientWidth;
  const width = Math.min(room, TALLEST / steepness);
  const height = width * steepness;
  const size = Math.min(1, Math.sqrt(150 / buses.length)) * Math.min(1, 0.4 + room / 1200);
  const [shade, full] = [Plot.scale({ color: limitScale(voltage) }), Plot.scale({ color: loadingScale() })];
  const radius = ({ out }) => (out ? 7 : 4.5) * size;
  const ring = (bus, stroke) =>
    Plot.dot(buses.filter((one) => one.bus === bus), { x: "x", y: "y", r: 11 * size, stroke, strokeWidth: 2 });
  const plot = Plot.plot({
    width,
    height,
    margin: 14,
    style: { background: "transparent" },
    ariaLabel: "Map of the feeder",
    ariaDescription: "Buses by voltage, lines by loading; the same numbers are told below for the bus chosen.",
    x: { axis: null },
    y: { axis: null },
    r: { type: "identity" },
    marks: [
      Plot.link(links, {
        x1: "x1",
        y1: "y1",
        x2: "x2",
        y2: "y2",
        sort: "share",
        stroke: ({ share }) => full.apply(share),
        strokeWidth: ({ share }) => size * (EMPTY_WIDTH + (FULL_WIDTH - EMPTY_WIDTH) * Math.min(Math.max(share, 0), 1.5)),
        strokeLinecap: "round",
      }),
      Plot.dot(buses, {
        x: "x",
        y: "y",
        r: radius,
        fill: ({ value }) => (value === undefined ? "transparent" : shade.apply(value)),
        stroke: "currentColor",
        strokeWidth: 0.8,
        symbol: ({ bus }) => (bus === about.source ? "square" : "circle"),
      }),
      ring(about.agents[view.agent].bus, colour("accent")),
      ring(view.bus, colour("ink")),
      Plot.tip(
        buses,
        Plot.pointer({
          x: "x",
          y: "y",
          title: ({ bus }) => busLines(view, bus).join("\n"),
          maxRadius: 30,
          fontSize: 12,
          lineWidth: 28,
        }),
      ),
    ],
    symbol: { type: "identity" },
  });
  plot.addEventListener("click", () => plot.value && choose({ bus: plot.value.bus }));
  byId("feeder").replaceChildren(plot);
}

// What is known of a bus: a line each for its name, what is limited there, the lines that meet, the homes.
function busLines(view, bus) {
  const { about, loading, steps, step, played, around, onLinks } = view;
  const { places, links, homes } = around[bus];
  const lines = [`Bus ${about.buses[bus].name}${bus === about.source ? ", the source" : ""}`];
  about.limits.forEach((limit, kind) => {
    const told = places[kind].map((place) => {
      const value = quantity(limit, played.limited[kind][place * steps + step]);
      const phase = limit.places[place].slice(about.buses[bus].name.length + 1);
      return phase ? `phase ${phase} ${value}` : value;
    });
    if (told.length) lines.push(`${limit.name}: ${told.join(", ")}`);
  });
  const loads = played.limited[about.limits.indexOf(loading)];
  const full = links.map((link) => {
    const found = worst(loading, loads, step, steps, onLinks[link]);
    return `${about.links[link].name} ${found ? quantity(loading, found.value) : "–"}`;
  });
  if (full.length) lines.push(`loading: ${full.join(", ")}`);
  const drawn = d3.sum(homes, (home) => played.power[home * steps + step]);
  const many = homes.length === 1 ? "1 home" : `${homes.length} homes`;
  lines.push(homes.length ? `${many}: ${kilowatts(drawn)}` : "no homes");
  return lines;
}

function tellBus(view, choose) {
  const { about, around, bus } = view;
  const [name, ...lines] = busLines(view, bus);
  const homes = around[bus].homes.slice(0, MOST_NAMED).map((home) =>
    element("button", { type: "button", onclick: () => choose({ agent: home }) }, about.agents[home].name),
  );
  const more = around[bus].homes.length - homes.length;
  byId("bus").replaceChildren(
    element("b", {}, name),
    ...lines.map((line) => element("div", {}, line)),
    element("div", {}, ...homes, more > 0 ? `and ${more} more` : ""),
  );
}
