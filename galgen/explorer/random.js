// The random numbers of galaxies, as galgen/priors/random_numbers.py draws them:
// Philox 4x64-10 (Salmon et al. 2011), and the inverse of the normal distribution.

const MASK = (1n << 64n) - 1n;
const MULTIPLIERS = [0xD2E7470EE14C6C93n, 0xCA5A826395121157n];
const WEYL = [0x9E3779B97F4A7C15n, 0xBB67AE8584CAA73Bn];

function philox(counter, key) {
  let [a, b, c, d] = counter;
  let [k, l] = key;
  for (let round = 0; round < 10; round++) {
    const left = MULTIPLIERS[0] * a, right = MULTIPLIERS[1] * c;
    [a, b, c, d] = [(right >> 64n) ^ b ^ k, right & MASK, (left >> 64n) ^ d ^ l, left & MASK];
    k = (k + WEYL[0]) & MASK;
    l = (l + WEYL[1]) & MASK;
  }
  return [a, b, c, d];
}

/** Uniform numbers between 0 and 1 of one galaxy. NumPy's counter is one ahead of its start. */
function uniform(seed, stream, galaxy, width) {
  const counts = Math.ceil(width / 4), found = new Float64Array(4 * counts);
  for (let count = 0; count < counts; count++) {
    const counter = BigInt(galaxy) * BigInt(counts) + BigInt(count) + 1n;
    const numbers = philox([counter, 0n, 0n, 0n], [BigInt(seed), BigInt(stream)]);
    numbers.forEach((number, place) => {
      found[4 * count + place] = (Number(number >> 11n) + 0.5) * 2 ** -53;
    });
  }
  return found.subarray(0, width);
}

/** Inverse of the normal distribution (Wichura 1988, AS 241), to 1e-15. */
function normalQuantile(p) {
  const q = p - 0.5;
  const ratio = (top, bottom, r) =>
    top.reduceRight((sum, c) => sum * r + c, 0) / bottom.reduceRight((sum, c) => sum * r + c, 0);
  if (Math.abs(q) <= 0.425) return q * ratio(...CENTRE, 0.180625 - q * q);
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const value = r <= 5 ? ratio(...MIDDLE, r - 1.6) : ratio(...TAIL, r - 5);
  return q < 0 ? -value : value;
}

const CENTRE = [
  [3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
    45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727],
  [1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077, 21213.794301586595867,
    39307.895800092710610, 28729.085735721942674, 5226.4952788528545610]];
const MIDDLE = [
  [1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
    1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833,
    7.74545014278341407640e-4],
  [1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
    0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4,
    1.05075007164441684324e-9]];
const TAIL = [
  [6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
    0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5,
    2.01033439929228813265e-7],
  [1, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
    7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
    2.04426310338993978564e-15]];

/** The standard normal numbers that a latent is made of. */
function latentNoise(seed, galaxy, width) {
  return Float32Array.from(uniform(seed, 0, galaxy, width), normalQuantile);
}
