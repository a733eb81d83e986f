// What is chosen, and the page that follows.

async function begin() {
  const about = await readAbout();
  const limit = (name) => about.limits.find((one) => one.name === name);
  const view = {
    about,
    steps: about.times.length,
    voltage: limit("voltage"),
    loading: limit("loading"),
    around: surroundings(about),
    onLinks: linkPlaces(about, limit("loading")),
    method: 1,
    agent: 0,
    bus: about.agents[0].bus,
    ...worstMoment(about.methods[1].nearest),
  };
  let turn = 0;
  let unpacked = -1;

  // Each choice counts at once, and shows all anew; of days that are chosen faster than they are unpacked the last one is shown.
  async function choose(changed) {
    turn += 1;
    const own = turn;
    if (changed.agent !== undefined) changed.bus = about.agents[changed.agent].bus;
    Object.assign(view, changed);
    tellDay(view);
    const { day } = view;
    const numbers = day === unpacked ? view.numbers : await readDay(about, day);
    if (own !== turn) return;
    unpacked = day;
    view.numbers = numbers;
    show(view, choose);
  }

  prepare(view, choose);
  await choose({});
  const again = () => show(view, choose);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) again();
    width = innerWidth;
  });
}

function worstMoment(nearest) {
  const day = d3.maxIndex(nearest, (steps) => d3.max(steps));
  return { day, step: d3.maxIndex(nearest[day]) };
}

// What stays the same, and what is heard of the controls.
function prepare(view, choose) {
  const { about } = view;
  document.title = `Explorer: ${about.name}`;
  byId("name").textContent = about.name;
  byId("case").textContent = about.case;
  const days = about.dates.length === 1 ? "1 day" : `${about.dates.length} days`;
  byId("shown").textContent =
    about.dates.length < about.evaluated
      ? `${days} of the ${about.evaluated} evaluated, which are more than a page can hold.`
      : `${days}, ${about.agents.length.toLocaleString("en")} homes.`;
  const [, ...others] = about.methods.keys();
  for (const row of [...others, 0]) {
    const { name, colour: shade, about: words } = about.methods[row];
    const radio = element("input", { type: "radio", name: "method", value: row, onchange: () => choose({ method: row }) });
    const swatch = element("i", { class: "swatch" });
    swatch.style.background = shade;
    byId("methods").append(element("label", { title: words }, radio, swatch, name));
  }
  byId("day").append(...about.dates.map((date, row) => element("option", { value: row }, date)));
  byId("day").addEventListener("change", ({ target }) => choose({ day: Number(target.value) }));
  byId("earlier").addEventListener("click", () => choose({ day: view.day - 1 }));
  byId("later").addEventListener("click", () => choose({ day: view.day + 1 }));
  byId("bus-choice").append(...about.buses.map(({ name }, row) => element("option", { value: row }, name)));
  byId("bus-choice").addEventListener("change", ({ target }) => choose({ bus: Number(target.value) }));
  byId("step").max = view.steps - 1;
  byId("step").addEventListener("input", ({ target }) => choose({ step: Number(target.value) }));
  byId("agents").append(...about.agents.map(({ name }) => element("option", { value: name })));
  byId("agent").addEventListener("change", ({ target }) => {
    const agent = about.agents.findIndex(({ name }) => name === target.value);
    target.setAttribute("aria-invalid", agent < 0);
    if (agent >= 0) choose({ agent });
  });
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  byId("precision").textContent = precision(about);
}

function precision(about) {
  const limits = about.limits.map((limit) => `${limit.name} to ${limit.percent ? percent(limit.unit, 2) : limit.unit}`);
  const share = percent(about.store.unit, 0);
  return (
    `Numbers are rounded: power to ${Number(about.power.unit.toPrecision(2))} kW, ${limits.join(", ")}, states of devices to ${share} of ` +
    "their range. What is outside a limit in the evaluation is outside here."
  );
}

// Which day is chosen, and where the buttons beside it lead.
function tellDay({ about, day }) {
  byId("day").value = day;
  byId("earlier").disabled = day === 0;
  byId("later").disabled = day === about.dates.length - 1;
}

function show(view, choose) {
  const { about, agent, method, step } = view;
  view.played = view.numbers[method];
  view.devices = [...about.devices.keys()].filter((row) => about.devices[row].agent === agent);
  view.nodes = about.agents[agent].nodes.map((node) => view.voltage.places.indexOf(node)).filter((place) => place >= 0);
  document.querySelectorAll("input[name=method]").forEach((radio) => (radio.checked = Number(radio.value) === method));
  byId("bus-choice").value = view.bus;
  byId("step").value = step;
  byId("step").setAttribute("aria-valuetext", about.times[step]);
  byId("time").textContent = about.times[step];
  byId("agent").value = about.agents[agent].name;
  byId("agent").setAttribute("aria-invalid", false);
  tellNow(view);
  drawLegends(view);
  drawFeeder(view, choose);
  tellBus(view, choose);
  drawHome(view, choose);
  tellHome(view);
  drawAll(view, choose);
}

// The moment in a sentence: the homes together, the worst place under each kind of limit.
function tellNow(view) {
  const { about, day, method, step, steps, played } = view;
  const all = d3.sum(about.agents.keys(), (agent) => played.power[agent * steps + step]);
  const { name, cost } = about.methods[method];
  const told = [
    `${about.dates[day]} at ${about.times[step]}, ${name}: all homes draw ${kilowatts(all)}; ` +
      `${about.price[day][step].toFixed(4)} ${about.currency}/kWh; ${withSign(about.outdoor[day][step].toFixed(1))} °C outdoors; ` +
      `this day costs ${money(about.currency, cost[day])}. `,
  ];
  if (!played.solved[step]) told.push(element("span", { class: "bad" }, "The power flow has no solution."));
  about.limits.forEach((limit, kind) => {
    const found = worst(limit, played.limited[kind], step, steps);
    if (!found) return;
    const words = `Worst ${limit.name}: ${quantity(limit, found.value)} at ${limit.places[found.place]}. `;
    told.push(isOutside(limit, found.value) ? element("span", { class: "bad" }, words) : words);
  });
  byId("now").replaceChildren(...told);
}

begin().catch((error) => {
  byId("now").textContent = `This browser cannot show the page (${error.message}); those of 2023 and later can.`;
});
