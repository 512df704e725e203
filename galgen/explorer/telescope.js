// Light through a telescope: convolution with a PSF and correlated noise, by FFT.

function fft(real, imaginary, inverse) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let length = 2; length <= n; length <<= 1) {
    const angle = ((inverse ? 2 : -2) * Math.PI) / length, half = length / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(angle * k), s = Math.sin(angle * k);
      for (let start = k; start < n; start += length) {
        const other = start + half;
        const x = real[other] * c - imaginary[other] * s;
        const y = real[other] * s + imaginary[other] * c;
        real[other] = real[start] - x;
        imaginary[other] = imaginary[start] - y;
        real[start] += x;
        imaginary[start] += y;
      }
    }
  }
}

/** Transform a square image in place; `size` is a power of 2. */
function fft2(real, imaginary, size, inverse = false) {
  const row = [new Float64Array(size), new Float64Array(size)];
  for (let y = 0; y < size; y++) {
    fft(real.subarray(y * size, (y + 1) * size), imaginary.subarray(y * size, (y + 1) * size), inverse);
  }
  for (let x = 0; x < size; x++) {
    for (let y = 0; y < size; y++) {
      row[0][y] = real[y * size + x];
      row[1][y] = imaginary[y * size + x];
    }
    fft(row[0], row[1], inverse);
    for (let y = 0; y < size; y++) {
      real[y * size + x] = row[0][y];
      imaginary[y * size + x] = row[1][y];
    }
  }
  if (inverse) {
    for (const part of [real, imaginary]) for (let i = 0; i < part.length; i++) part[i] /= size * size;
  }
}

const powerOf2 = (n) => 2 ** Math.ceil(Math.log2(n));

/** Convolve light with a PSF; beyond an edge the light goes on as it is there, as in galgen. */
function convolve(light, side, psf, width) {
  const before = width - 1 - (width >> 1), padded = side + width - 1;
  const size = powerOf2(padded); // what wraps around stays in the first rows and columns, which are cut off
  const image = [new Float64Array(size * size), new Float64Array(size * size)];
  const kernel = [new Float64Array(size * size), new Float64Array(size * size)];
  const inside = (i) => Math.min(Math.max(i - before, 0), side - 1);
  for (let y = 0; y < padded; y++) {
    for (let x = 0; x < padded; x++) image[0][y * size + x] = light[inside(y) * side + inside(x)];
  }
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) kernel[0][y * size + x] = psf[y * width + x];
  }
  fft2(...image, size);
  fft2(...kernel, size);
  for (let i = 0; i < size * size; i++) {
    const re = image[0][i] * kernel[0][i] - image[1][i] * kernel[1][i];
    image[1][i] = image[0][i] * kernel[1][i] + image[1][i] * kernel[0][i];
    image[0][i] = re;
  }
  fft2(...image, size, true);
  const seen = new Float32Array(side * side), first = width - 1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) seen[y * side + x] = image[0][(y + first) * size + x + first];
  }
  return seen;
}

/** Noise of variance 1 with a correlation by offset (width x width, 1 in the middle). */
function correlatedNoise(side, correlation, width, random) {
  const size = powerOf2(side + width), half = width >> 1;
  const power = [new Float64Array(size * size), new Float64Array(size * size)];
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) {
      const place = ((y - half + size) % size) * size + ((x - half + size) % size);
      power[0][place] = correlation[y * width + x];
    }
  }
  fft2(...power, size);
  const noise = [new Float64Array(size * size), new Float64Array(size * size)];
  for (let i = 0; i < size * size; i++) noise[0][i] = random();
  fft2(...noise, size);
  for (let i = 0; i < size * size; i++) {
    const factor = Math.sqrt(Math.max(power[0][i], 0));
    noise[0][i] *= factor;
    noise[1][i] *= factor;
  }
  fft2(...noise, size, true);
  const found = new Float32Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) found[y * side + x] = noise[0][y * size + x];
  }
  return found;
}

/** Standard normal numbers that follow from a seed; they are not those of Python. */
function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(next() + 1e-12)) * Math.cos(2 * Math.PI * next());
}
