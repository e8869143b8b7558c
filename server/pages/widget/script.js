/** The script that the page includes: where it came from, and what its URL asks for. */

/** Find the script whose URL ends with one of `paths`; give its server and its query. */
export function locate(paths) {
  const scripts = [document.currentScript, ...document.scripts].map((script) => script?.src ?? "");
  const imported = performance.getEntriesByType("resource").map((entry) => entry.name); // by import()
  const urls = [...scripts, ...imported].map((url) => url.split("#")[0].split("?"));
  for (const [address, query] of urls) {
    const path = paths.find((one) => address.endsWith(`/${one}`));
    if (path) return { server: address.slice(0, -path.length), query: new URLSearchParams(query) };
  }
  throw new Error(`gantcha: the page loads no ${paths[0]}; include the script with its own name`);
}

/** Call `callback` once the page has been read. */
export function ready(callback) {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => callback());
  else callback();
}
