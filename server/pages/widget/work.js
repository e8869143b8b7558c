/**
 * Work: tries, until the right one is found. WebCrypto computes beside the page's thread, which it takes 0.1 ms of for each
 * try; a Worker would take less, but is refused by strict policies, and each refusal is reported to the site.
 */
const AT_ONCE = 4; // tries, so that WebCrypto never waits for the page
const STEP = 64; // tries from one report to the next

const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (two) => parseInt(two, 16));
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function derive(password, salt, iterations) {
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, 256));
}

/**
 * Do the work that a server asks for; give what it wants to see of it. `report` gets how much of the most that it can take
 * was done, from 0 to 1.
 */
export async function solve(work, server, signal, report) {
  const { nonce, salt, keyPrefix, cost, data } = work.parameters;
  const [before, salted, wanted] = [nonce, salt, keyPrefix].map(bytesOf);
  // Pages over plain HTTP have no WebCrypto.
  const own = crypto.subtle ? derive : (await import(/* webpackIgnore: true */ /* @vite-ignore */ `${server}pbkdf2.js`)).derive;
  let next = 0;
  let solution = null;
  const tryOn = async () => {
    while (!solution && next < data.tries) {
      const counter = next++;
      if (counter % STEP === 0) report(counter / data.tries);
      const password = new Uint8Array(before.length + 4);
      password.set(before);
      new DataView(password.buffer).setUint32(before.length, counter);
      const key = await own(password, salted, cost);
      signal.throwIfAborted();
      if (wanted.every((byte, index) => byte === key[index])) solution = { counter, derivedKey: hexOf(key) };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, tryOn));
  return btoa(JSON.stringify({ challenge: work, solution }));
}
