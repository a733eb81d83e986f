// The blocks of the page, as packing.py and contents.py write them.

async function unpacked(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (sign) => sign.charCodeAt(0));
  const bytes = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(bytes).arrayBuffer());
}

async function readAbout() {
  return JSON.parse(new TextDecoder().decode(await unpacked("about")));
}

// The numbers of a day: of each method what is limited, by kind of limit, the power of every meter in kW and the
// state of every device from 0 to 1 of its range. All are (places, steps), one place after the other.
async function readDay(about, day) {
  const bytes = await unpacked(`day-${day}`);
  const count = bytes.length / 2;
  const steps = about.times.length;
  const { agents, devices, methods } = about;
  let next = 0;

  function number() {
    const folded = bytes[next] + 256 * bytes[count + next];
    next += 1;
    return folded % 2 ? -(folded + 1) / 2 : folded / 2;
  }

  function read(places, unit, differences = true) {
    const found = new Float64Array(places * steps);
    for (let place = 0; place < places; place++) {
      let sum = 0;
      for (let step = 0; step < steps; step++) {
        sum = differences ? sum + number() : number();
        found[place * steps + step] = sum * unit;
      }
    }
    return found;
  }

  const played = methods.map(() => ({ solved: read(1, 1, false), limited: [] }));
  for (const { places, unit } of about.limits) {
    for (const { solved, limited } of played) {
      const values = read(places.length, unit);
      limited.push(values.map((value, row) => (solved[row % steps] ? value : NaN)));
    }
  }
  const [rest, ...others] = played;
  rest.power = read(agents.length, about.power.unit);
  rest.store = read(devices.length, about.store.unit);
  for (const method of others) {
    const drawn = read(agents.length, about.power.unit);
    method.power = drawn.map((more, row) => rest.power[row] + more);
    method.store = stored(about, rest.store, drawn, read(devices.length, about.store.unit, false));
  }
  return played;
}

// What devices have stored, by `Stores` of packing.py.
function stored(about, atRest, drawn, corrections) {
  const steps = about.times.length;
  const found = new Float64Array(atRest.length);
  about.devices.forEach(({ agent }, device) => {
    const [itself, more, less] = about.store.factors[device];
    let expected = 0;
    for (let step = 0; step < steps; step++) {
      const row = device * steps + step;
      const beyond = expected + corrections[row];
      const power = drawn[agent * steps + step];
      found[row] = atRest[row] + beyond;
      expected = itself * beyond + more * Math.max(power, 0) + less * Math.min(power, 0);
    }
  });
  return found;
}
