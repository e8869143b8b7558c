/** The script that the page includes: where it came from, and what its URL asks for. */
import { version } from "./words.js";

const address = /[a-z][a-z\d+.-]*:\/\/[^\s()]+?(?=:\d+(?::\d+)?\)?(?:\s|$))/i; // in the first line of a stack that has one

/** Find this script, whose URL ends with one of `paths`; give its server and its query. */
export function locate(paths) {
  // A module is no current script, and other scripts of a page may have the same name: the stack tells them apart.
  const own = [document.currentScript?.src, new Error().stack?.match(address)?.[0]];
  const names = paths.flatMap((path) => [path, path.replace(/\.js$/, `.v${version}.js`)]);
  for (const url of [...own, ...[...document.scripts].map((script) => script.src)]) {
    const [before, query] = String(url).split("#")[0].split("?");
    const path = names.find((one) => before.endsWith(`/${one}`));
    if (path) return { server: before.slice(0, -path.length), query: new URLSearchParams(query) };
  }
  throw new Error(`gantcha: the page loads no ${paths[0]}; include the script with its own name`);
}

/** Call `callback` once the page has been read. */
export function ready(callback) {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => callback());
  else callback();
}
