/** The languages of the widget: English is part of it, the others are fetched from its server when a page needs one. */
import { english, otherCodes, rightToLeft } from "./words.js"; // made of `../languages/en.json` and `../language_tags.json`

export const languages = "ar bg cs da de el en es fa fi fr he hi hu id it ja ko nb nl pl pt ro ru sv th tr uk ur vi zh".split(" ");
/** Languages in which the server speaks; the others hear English. */
export const spoken = "bg cs da de el en es fi fr hu id it nb nl pl pt ro ru sv tr uk".split(" ");
const fetched = {};

export const direction = (language) => (rightToLeft.includes(language) ? "rtl" : "ltr");

/** Give the first of the wanted languages (tags such as "pt-BR") that there is. */
export function chooseLanguage(wanted) {
  const codes = wanted.filter(Boolean).map((tag) => tag.toLowerCase().split(/[-_]/)[0]);
  return codes.map((code) => otherCodes[code] ?? code).find((code) => languages.includes(code)) ?? "en";
}

/** Give the texts of a language; English if its file can't be fetched. */
export function loadTexts(server, language) {
  if (language === "en") return Promise.resolve(english);
  const options = { credentials: "omit", signal: AbortSignal.timeout(5_000) };
  return (fetched[server + language] ??= fetch(`${server}languages/${language}.json`, options)
    .then((answer) => (answer.ok ? answer.json() : {}))
    .catch(() => ({}))
    .then((texts) => ({ ...english, ...texts })));
}
