// Numbers as people read them, and parts of the page. Names are only ever set as text.

const SPACE = "\u00a0";

function withSign(text) {
  return text.replace("-", "−");
}

function kilowatts(power) {
  const grouped = power.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return `${withSign(grouped)}${SPACE}kW`;
}

function money(currency, amount) {
  const grouped = Math.abs(amount).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return `${amount < 0 ? "−" : ""}${currency}${SPACE}${grouped}`;
}

function percent(share, decimals = 1) {
  return `${withSign((100 * share).toFixed(decimals))}${SPACE}%`;
}

// Of what a kind of limit limits; its unit stands at the end of its title.
function quantity(limit, value) {
  if (Number.isNaN(value)) return "no solution";
  if (limit.percent) return percent(value);
  const unit = limit.title.split(", ").slice(1).at(-1) ?? "";
  return `${withSign(value.toFixed(4))}${SPACE}${unit}`.trim();
}

// Of a device: its state in its own unit.
function state(device, value) {
  const own = device.offset + device.scale * value;
  return device.percent ? percent(own, 0) : withSign(own.toFixed(1));
}

function isOutside(limit, value) {
  const [low, high] = limit.bounds;
  const rounding = 0.01 * limit.unit;
  return (low !== null && value < low - rounding) || (high !== null && value > high + rounding);
}

// How near the limit: 0 in the middle of a band, 1 at its edge.
function nearness(limit, value) {
  const [low, high] = limit.bounds;
  const passed = Math.max(low === null ? -Infinity : low - value, high === null ? -Infinity : value - high);
  return 1 + passed / limit.half;
}

// The place, of some, where a limit is nearest or furthest passed; undefined where there is no solution.
function worst(limit, values, step, steps, places = limit.places.keys()) {
  let found;
  for (const place of places) {
    const value = values[place * steps + step];
    const near = nearness(limit, value);
    if (!Number.isNaN(near) && !(near <= found?.near)) found = { place, value, near };
  }
  return found;
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
