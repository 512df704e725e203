// The page: controls, the grid of galaxies, and the one that was clicked.

const model = JSON.parse(document.getElementById('model').textContent);
const element = (id) => document.getElementById(id);
const chosen = { seed: 0, telescope: 'none', stretch: 1, softening: 0.1, conditions: {}, open: null, cells: [], before: null };
const count = Math.min(window.innerWidth, window.innerHeight) < 600 ? 6 : 12;
const TOGETHER = 2;
let workers = [], answers = new Map(), request = 0, shown = [];

function fail(sentence) {
  element('status').textContent = sentence;
  element('status').classList.add('failed');
}

async function unpacked(id) {
  const packed = await (await fetch(`data:application/octet-stream;base64,${element(id).textContent.trim()}`)).blob();
  const stream = packed.stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

async function begin() {
  if (typeof WebAssembly !== 'object') {
    return fail('This browser has no WebAssembly, which computes the galaxies. Open the page in another one.');
  }
  if (typeof DecompressionStream !== 'function' || typeof Worker !== 'function') {
    return fail('This browser is too old to unpack the networks. Open the page in a newer one.');
  }
  const names = ['runtime', 'wasm', 'decoder', 'velocity'].filter((id) => element(id));
  const parts = Object.fromEntries(await Promise.all(names.map(async (id) => [id, await unpacked(id)])));
  const weights = { decoder: [], velocity: [] };
  for (const store of document.querySelectorAll('[data-weights-of]')) {
    weights[store.dataset.weightsOf].push({ path: store.dataset.path, data: await unpacked(store.id) });
  }
  const code = new Blob([parts.runtime, '\n', element('worker').textContent], { type: 'text/javascript' });
  const url = URL.createObjectURL(code);
  const wanted = Math.max(1, Math.min(4, navigator.hardwareConcurrency || 1));
  const { wasm, decoder, velocity } = parts;
  const start = () => new Promise((ready, failed) => {
    const worker = new Worker(url);
    worker.onerror = (event) => failed(new Error(event.message || 'the worker did not start'));
    worker.onmessage = ({ data }) => {
      if (data.ready) ready(worker);
      else if (data.id === undefined) failed(new Error(data.error));
      else {
        answers.get(data.id)(data);
        answers.delete(data.id);
      }
    };
    worker.postMessage({ model, wasm, decoder, velocity, weights });
  });
  workers = [await start()];
  draw();
  for (let number = 1; number < wanted; number++) workers.push(await start());
  draw();
}

function ask(question, worker = workers[0]) {
  const id = ++request;
  return new Promise((answer) => {
    answers.set(id, answer);
    worker.postMessage({ ...question, id });
  });
}

const conditions = () => model.conditions.map(({ name }) => chosen.conditions[name] ?? NaN);

let busy = false, again = false, redrawn = 0; // cells that the open galaxy has been drawn anew with

/** Draw the grid; while galaxies are being made, only the last change waits. */
async function draw() {
  if (busy) return void (again = true);
  busy = true;
  const started = performance.now();
  const asked = { seed: chosen.seed, conditions: conditions(), telescope: chosen.telescope, open: chosen.open, cells: [...chosen.cells] };
  let reaction = null;
  await Promise.all(workers.map(async (worker, place) => {
    const own = [...Array(count).keys()].filter((number) => number % workers.length === place);
    // A few at a time: the first appear soon, and a newer change need not wait for the last.
    for (let start = 0; start < own.length && !again; start += TOGETHER) {
      const found = await ask({ ...asked, numbers: own.slice(start, start + TOGETHER) }, worker);
      if (found.error) return fail(`The galaxies were not computed: ${found.error}`);
      for (const galaxy of found.galaxies) {
        if (galaxy.number === chosen.open && asked.cells.length > redrawn) {
          Object.assign(chosen, { before: shown[galaxy.number].light });
          redrawn = asked.cells.length;
        }
        shown[galaxy.number] = galaxy;
        paint(element(`galaxy${galaxy.number}`), galaxy.seen);
        if (galaxy.number === chosen.open) detail();
      }
      reaction = reaction ?? performance.now() - started;
      window.firstPicture = window.firstPicture ?? performance.now();
    }
  }));
  busy = false;
  if (again) {
    again = false;
    return draw();
  }
  const milliseconds = performance.now() - started;
  if (!element('status').classList.contains('failed')) {
    element('status').textContent = `${count} galaxies in ${milliseconds.toFixed(0)} ms, computed here by ${workers.length} worker${workers.length > 1 ? 's' : ''}`;
  }
  Object.assign(window, { lastDraw: milliseconds, reaction, drawn: (window.drawn || 0) + 1 });
}

/** Return the brightness of each colour, from 0 to 1 and beyond. */
function channels(image) {
  const area = model.side ** 2;
  return model.channels.map((bands) => {
    const plane = new Float32Array(area);
    for (const band of bands) {
      for (let i = 0; i < area; i++) plane[i] += image[band * area + i] * model.weights[band] / bands.length;
    }
    return plane;
  });
}

/** Draw an image; the first row of its pixels is below, as in galgen's figures. */
function paint(canvas, image) {
  const { side } = model, planes = channels(image), area = side * side;
  const context = canvas.getContext('2d'), picture = context.createImageData(side, side);
  const mean = new Float32Array(area);
  for (const plane of planes) for (let i = 0; i < area; i++) mean[i] += plane[i] / planes.length;
  const peak = mean.reduce((a, b) => Math.max(a, b), 1e-30) / chosen.stretch;
  const soft = chosen.softening * peak, top = Math.asinh(peak / soft);
  for (let i = 0; i < area; i++) {
    const value = Math.asinh(Math.max(mean[i], chosen.telescope === 'noise' ? -peak : 0) / soft) / top;
    const x = i % side, y = side - 1 - Math.floor(i / side), place = 4 * (y * side + x);
    if (planes.length === 1) picture.data.set(inferno(value), place);
    else {
      const factor = mean[i] === 0 ? 0 : (0.9 * value) / mean[i];
      picture.data.set(planes.map((plane) => 255 * Math.min(1, Math.max(0, 0.1 + factor * plane[i]))), place);
    }
    picture.data[place + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

function inferno(value) {
  const place = Math.min(1, Math.max(0, value)) * (model.colours.length - 1);
  const low = Math.floor(place), part = place - low;
  const from = model.colours[low], to = model.colours[Math.min(low + 1, model.colours.length - 1)];
  return from.map((colour, i) => colour + part * (to[i] - colour));
}

function measure(image) {
  const { side } = model, area = side * side;
  return model.bands.map((name, band) => {
    const plane = image.subarray(band * area, (band + 1) * area);
    const flux = plane.reduce((a, b) => a + b, 0), zero = model.zeroPoints[band];
    return { name, flux, magnitude: zero === null || flux <= 0 ? null : zero - 2.5 * Math.log10(flux) };
  });
}

/** Radius of the circle around the brightest light's centre that holds half of the light, px. */
function halfLightRadius(image) {
  const { side, reference } = model, plane = image.subarray(reference * side * side, (reference + 1) * side * side);
  let total = 0, x = 0, y = 0;
  plane.forEach((value, i) => {
    const light = Math.max(value, 0);
    total += light;
    x += light * (i % side);
    y += light * Math.floor(i / side);
  });
  x /= total;
  y /= total;
  const order = Array.from(plane, (value, i) => [Math.hypot(i % side - x, Math.floor(i / side) - y), Math.max(value, 0)]);
  order.sort((a, b) => a[0] - b[0]);
  let inside = 0;
  for (const [radius, light] of order) {
    inside += light;
    if (inside >= total / 2) return radius;
  }
  return NaN;
}

function detail() {
  const found = shown[chosen.open];
  if (!found) return;
  element('detail').hidden = false;
  paint(element('large'), found.seen);
  const asked = model.conditions.map(({ name }) =>
    `${name} ${chosen.conditions[name] === undefined ? 'any' : chosen.conditions[name].toFixed(2)}`);
  const rows = measure(found.light).map(({ name, flux, magnitude }) =>
    `<tr><td>${name}</td><td>${flux.toPrecision(4)}</td><td>${magnitude === null ? '' : magnitude.toFixed(2)}</td></tr>`);
  const radius = halfLightRadius(found.light) * (model.pixelScale || 1);
  const words = Object.entries(chosen.conditions).map(([name, value]) => `, ${name}=${value.toFixed(4)}`).join('');
  element('numbers').innerHTML = `<p>Galaxy ${chosen.open} of seed ${chosen.seed}. Asked for: ${asked.join(', ')}.</p>
    <table><tr><th>band</th><th>flux [${model.unit}]</th><th>AB mag</th></tr>${rows.join('')}</table>
    <p>Half of the light lies within ${radius.toFixed(3)} ${model.pixelScale ? 'arcsec' : 'px'}, ${model.psfFree ? 'in front of the telescope' : 'blurred by the PSF'}.</p>
    ${chosen.cells.length ? '<p>Parts of its latent map were drawn anew.</p>' : `<p>The same galaxy in Python:</p>
    <pre>galgen.load("${model.load}").sample(\n    1, seed=${chosen.seed}, start=${chosen.open}, prior="${model.priorName}"${words})</pre>`}`;
  element('map').hidden = !model.latentShape;
  element('influence').hidden = !chosen.before;
  if (chosen.before) paintChange(found.light.map((value, i) => value - chosen.before[i]));
}

/** Draw a change of the light, summed over bands: red where it has become brighter, blue where fainter. */
function paintChange(change) {
  const { side } = model, area = side * side, total = new Float32Array(area);
  change.forEach((value, i) => (total[i % area] += value));
  const largest = total.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-30);
  const context = element('change').getContext('2d'), picture = context.createImageData(side, side);
  total.forEach((value, i) => {
    const share = Math.sqrt(Math.abs(value) / largest), y = side - 1 - Math.floor(i / side);
    const colour = value > 0 ? [255, 90, 60] : [70, 140, 255];
    picture.data.set([...colour.map((part) => part * share), 255], 4 * (y * side + (i % side)));
  });
  context.putImageData(picture, 0, 0);
  element('largest').textContent = `${largest.toPrecision(2)} ${model.unit}`;
}

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
}

/** Return a FITS file of an image: bands, rows, columns, big-endian float32. */
function fits(image) {
  const card = (key, value, comment = '') => `${key.padEnd(8)}= ${value}`.padEnd(30).concat(comment && ` / ${comment}`).padEnd(80).slice(0, 80);
  const text = (value) => `'${String(value).padEnd(8)}'`, number = (value) => String(value).padStart(20);
  const cards = [
    card('SIMPLE', 'T'.padStart(20)), card('BITPIX', number(-32)), card('NAXIS', number(3)),
    card('NAXIS1', number(model.side)), card('NAXIS2', number(model.side)), card('NAXIS3', number(model.bands.length)),
    card('BUNIT', text(model.fitsUnit)), card('MODEL', text(model.name), 'generated by galgen, not observed'),
    card('SEED', number(chosen.seed)), card('GALAXY', number(chosen.open)), card('SEEN', text(chosen.telescope)),
    ...model.bands.map((name, i) => card(`BAND${i + 1}`, text(name))),
    ...model.zeroPoints.flatMap((zero, i) => (zero === null ? [] : [card(`MAGZER${i + 1}`, number(zero), 'AB')])),
    ...(model.pixelScale ? [card('PIXSCALE', number(model.pixelScale), 'arcsec')] : []),
    ...model.conditions.flatMap(({ name }) => (chosen.conditions[name] === undefined ? []
      : [card(name.slice(0, 8).toUpperCase(), number(chosen.conditions[name].toPrecision(8)), 'asked for')])),
    'END'.padEnd(80),
  ].join('');
  const header = cards.padEnd(Math.ceil(cards.length / 2880) * 2880);
  const body = new DataView(new ArrayBuffer(Math.ceil((4 * image.length) / 2880) * 2880));
  image.forEach((value, i) => body.setFloat32(4 * i, value, false));
  return new Blob([header, body.buffer], { type: 'application/fits' });
}

function slider({ name, low, high, label }) {
  const row = document.createElement('label');
  row.innerHTML = `<span>${label}</span><input type="checkbox" aria-label="ask for ${name}">
    <input type="range" min="${low}" max="${high}" step="${(high - low) / 200}" value="${(low + high) / 2}" aria-label="${name}" id="slider-${name}">
    <output>any</output>`;
  const [box, range] = row.querySelectorAll('input'), out = row.querySelector('output');
  const change = () => {
    if (box.checked) chosen.conditions[name] = Number(range.value);
    else delete chosen.conditions[name];
    chosen.before = null;
    out.textContent = box.checked ? Number(range.value).toFixed(2) : 'any';
    draw();
  };
  box.onchange = change;
  range.oninput = () => {
    box.checked = true;
    change();
  };
  if (name === 'redshift' && model.conditional) {
    box.disabled = box.checked = true; // the model makes no galaxy without
    chosen.conditions[name] = Number(range.value);
    out.textContent = Number(range.value).toFixed(2);
  }
  return row;
}

/** Forget what was drawn anew in a latent map. */
function forgetCells() {
  Object.assign(chosen, { cells: [], before: null });
  redrawn = 0;
}

function controls() {
  element('conditions').append(...model.conditions.map(slider));
  element('seed').oninput = ({ target }) => {
    chosen.seed = Math.max(0, Math.floor(Number(target.value) || 0));
    forgetCells();
    draw();
  };
  element('another').onclick = () => {
    element('seed').value = chosen.seed + 1;
    element('seed').oninput({ target: element('seed') });
  };
  const repaint = () => {
    shown.forEach((found, number) => paint(element(`galaxy${number}`), found.seen));
    if (chosen.open !== null) detail();
  };
  element('stretch').oninput = ({ target }) => {
    chosen.stretch = 10 ** Number(target.value);
    repaint();
  };
  element('softening').oninput = ({ target }) => {
    chosen.softening = 10 ** Number(target.value);
    repaint();
  };
  for (const option of document.querySelectorAll('[name=telescope]')) {
    option.onchange = () => {
      chosen.telescope = option.value;
      draw();
    };
  }
  for (let number = 0; number < count; number++) {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { id: `galaxy${number}`, width: model.side, height: model.side, tabIndex: 0 });
    canvas.setAttribute('role', 'button');
    canvas.setAttribute('aria-label', `galaxy ${number}: show its numbers`);
    canvas.onclick = () => {
      const changed = chosen.cells.length;
      chosen.open = number;
      forgetCells();
      if (changed) draw(); // the galaxy that was changed is itself again
      document.querySelectorAll('#grid canvas').forEach((other) => other.classList.toggle('open', other === canvas));
      detail();
      element('detail').scrollIntoView({ block: 'nearest' });
    };
    canvas.onkeydown = ({ key }) => key === 'Enter' && canvas.onclick();
    element('grid').append(canvas);
  }
  for (const id of ['large', 'change']) Object.assign(element(id), { width: model.side, height: model.side });
  element('png').onclick = () => element('large').toBlob((blob) => save(blob, `galaxy${chosen.open}.png`));
  element('fits').onclick = () => save(fits(shown[chosen.open].seen), `galaxy${chosen.open}.fits`);
  element('large').onclick = (event) => {
    if (!model.latentShape || busy) return;
    const [, height, width] = model.latentShape, box = event.target.getBoundingClientRect();
    const column = Math.min(width - 1, Math.floor((width * (event.clientX - box.left)) / box.width));
    const row = Math.min(height - 1, Math.floor((height * (box.bottom - event.clientY)) / box.height));
    chosen.cells.push({ cell: row * width + column, draw: chosen.cells.length + 1 });
    draw();
  };
}

window.explorer = { ask, fits, measure, shown };
controls();
begin().catch((error) => fail(`The networks did not start: ${error.message}`));
