// Computes galaxies: the prior's differential equation, the decoder, the telescope.

let model, decoder, velocity;

async function begin(message) {
  model = message.model;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = message.wasm;
  const options = (name) => ({
    executionProviders: ['wasm'],
    externalData: message.weights[name].map(({ path, data }) => ({ path, data: new Uint8Array(data) })),
  });
  decoder = await ort.InferenceSession.create(new Uint8Array(message.decoder), options('decoder'));
  if (message.velocity) {
    velocity = await ort.InferenceSession.create(new Uint8Array(message.velocity), options('velocity'));
  }
}

const tensor = (values, ...shape) => new ort.Tensor('float32', values, shape);

/** What the network is told of conditions: their standardised values, 0 where unknown, and which are known. */
function context(conditions) {
  const { shift, scale } = model.prior.conditions;
  const known = conditions.map((value) => (Number.isFinite(value) ? 1 : 0));
  return [...conditions.map((value, i) => (known[i] ? (value - shift[i]) / scale[i] : 0)), ...known];
}

/** The latents of n galaxies from standard normal numbers; the steps are those of FlowMatching.make. */
async function latentsOf(noise, n, conditions) {
  if (!velocity) return noise;
  const { steps, shift, scale } = model.prior, step = Math.PI / 2 / steps, size = model.latentSize;
  const told = context(conditions), all = Float32Array.from({ length: n * told.length }, (_, i) => told[i % told.length]);
  const speed = async (latent, angle) => {
    const found = await velocity.run({
      latent: tensor(latent, n, size), angle: tensor(new Float32Array(n).fill(angle), n), context: tensor(all, n, told.length) });
    return found.velocity.data;
  };
  let before = await speed(noise, 0);
  const end = await speed(noise.map((z, i) => z + step * before[i]), step);
  let latent = noise.map((z, i) => z + 0.5 * step * (before[i] + end[i]));
  for (let number = 1; number < steps; number++) {
    const here = await speed(latent, number * step), last = before;
    latent = latent.map((z, i) => z + step * (1.5 * here[i] - 0.5 * last[i]));
    before = here;
  }
  return latent.map((z, i) => z * scale[i % size] + shift[i % size]);
}

function observe(light, telescope, seed, galaxy) {
  if (telescope === 'none') return light;
  const { side, bands, psf, psfWidth, noise, correlation, correlationWidth } = model;
  const seen = Float32Array.from(light), random = generator(seed * 65537 + galaxy + 1);
  for (let band = 0; band < bands.length; band++) {
    const plane = seen.subarray(band * side * side, (band + 1) * side * side);
    if (psf) {
      plane.set(convolve(plane, side, psf.slice(band * psfWidth ** 2, (band + 1) * psfWidth ** 2), psfWidth));
    }
    if (telescope === 'noise' && noise) {
      const table = correlation.slice(band * correlationWidth ** 2, (band + 1) * correlationWidth ** 2);
      const drawn = correlatedNoise(side, table, correlationWidth, random);
      for (let i = 0; i < plane.length; i++) plane[i] += noise[band] * drawn[i];
    }
  }
  return seen;
}

/** Replace what the noise has in one pixel of the latent's map. */
function drawnAnew(noise, { cell, draw }) {
  const [channels, height, width] = model.latentShape, other = generator(7919 * draw + cell + 1);
  for (let channel = 0; channel < channels; channel++) noise[channel * height * width + cell] = other();
}

/** Galaxies of a seed by their numbers; `cells` of the galaxy `open` are drawn anew. */
async function galaxies({ seed, numbers, conditions, telescope, open, cells }) {
  const n = numbers.length, size = model.latentSize, noise = new Float32Array(n * size);
  numbers.forEach((number, row) => {
    const drawn = latentNoise(seed, number, size);
    if (number === open) for (const cell of cells) drawnAnew(drawn, cell);
    noise.set(drawn, row * size);
  });
  const latents = await latentsOf(noise, n, conditions);
  const inputs = { latent: tensor(latents, n, size) };
  if (model.conditional) {
    const redshift = conditions[model.conditions.findIndex(({ name }) => name === 'redshift')];
    inputs.redshift = tensor(new Float32Array(n).fill(redshift), n);
  }
  const light = (await decoder.run(inputs)).light.data;
  const area = light.length / n;
  return numbers.map((number, row) => {
    const own = light.slice(row * area, (row + 1) * area);
    return { number, light: own, seen: observe(own, telescope, seed, number), latent: latents.slice(row * size, (row + 1) * size) };
  });
}

onmessage = async ({ data }) => {
  try {
    if (data.model) {
      await begin(data);
      postMessage({ ready: true });
    } else {
      postMessage({ id: data.id, galaxies: await galaxies(data) });
    }
  } catch (error) {
    postMessage({ id: data.id, error: String(error && error.message || error) });
  }
};
