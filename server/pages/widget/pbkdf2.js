/** PBKDF2 with SHA-256 for pages without WebCrypto, which is a few times as fast. It leaves the page its turns. */
const SLICE = 8; // ms
let sliceEnd = 0;

/** Give the first 32 bits of the fractional part of a root of a prime. */
const fraction = (prime, exponent) => (prime ** exponent % 1) * 2 ** 32;
const primes = [];
for (let number = 2; primes.length < 64; number++) if (primes.every((prime) => number % prime)) primes.push(number);
const constants = Int32Array.from(primes, (prime) => fraction(prime, 1 / 3));
const initial = Int32Array.from(primes.slice(0, 8), (prime) => fraction(prime, 1 / 2));
const schedule = new Int32Array(64);

/** Write into `into` the state that follows `from` and 16 words: without lists, which WebKit takes its time over. */
function compress(into, from, words) {
  schedule.set(words);
  for (let i = 16; i < 64; i++) {
    const x = schedule[i - 15];
    const y = schedule[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    schedule[i] = schedule[i - 16] + s0 + schedule[i - 7] + s1;
  }
  let a = from[0], b = from[1], c = from[2], d = from[3], e = from[4], f = from[5], g = from[6], h = from[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[i] + schedule[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g, g = f, f = e, e = (d + t1) | 0;
    d = c, c = b, b = a, a = (t1 + t2) | 0;
  }
  into[0] = from[0] + a, into[1] = from[1] + b, into[2] = from[2] + c, into[3] = from[3] + d;
  into[4] = from[4] + e, into[5] = from[5] + f, into[6] = from[6] + g, into[7] = from[7] + h;
}

/** Give 16 words for up to 55 bytes and what SHA-256 adds to the end of a message of so many bytes. */
function padded(bytes, length) {
  const block = new DataView(new ArrayBuffer(64));
  bytes.forEach((byte, index) => block.setUint8(index, byte));
  block.setUint8(bytes.length, 0x80);
  block.setUint32(60, length * 8);
  return Int32Array.from({ length: 16 }, (_, index) => block.getInt32(index * 4));
}

/** Give the state of HMAC after its key of up to 64 bytes, which is mixed with a byte. */
function keyed(key, mixed) {
  const block = new DataView(new ArrayBuffer(64));
  for (let i = 0; i < 64; i++) block.setUint8(i, (key[i] ?? 0) ^ mixed);
  const state = new Int32Array(8);
  compress(state, initial, Int32Array.from({ length: 16 }, (_, index) => block.getInt32(index * 4)));
  return state;
}

/** Give 32 bytes; `password` has 64 bytes at most, and `salt` 51. */
export async function derive(password, salt, iterations) {
  if (performance.now() > sliceEnd) {
    await new Promise((resolve) => setTimeout(resolve));
    sliceEnd = performance.now() + SLICE;
  }
  const [inner, outer] = [keyed(password, 0x36), keyed(password, 0x5c)];
  const block = padded(new Uint8Array(32), 64 + 32);
  const sum = new Int32Array(8);
  let words = padded([...salt, 0, 0, 0, 1], 64 + salt.length + 4);
  for (let i = 0; i < iterations; i++) {
    compress(block, inner, words);
    compress(block, outer, block);
    words = block;
    for (let j = 0; j < 8; j++) sum[j] ^= block[j];
  }
  const bytes = new DataView(new ArrayBuffer(32));
  sum.forEach((word, index) => bytes.setInt32(index * 4, word));
  return new Uint8Array(bytes.buffer);
}
