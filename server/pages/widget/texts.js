/** What the widget says: English, and the languages that it fetches from its server when a page needs one. */
export const english = {
  name: "Captcha",
  plain: "Type the characters.",
  crossedOut: "Type the characters not crossed out by two strokes.",
  label: "Answer",
  image: "A picture of handwritten letters and digits. The speaker button, where there is one, reads out what to type.",
  placeholder: "Characters",
  check: "Check",
  refresh: "Another picture",
  listen: "Listen",
  retry: "Try again",
  close: "Close",
  empty: "Please type the characters first.",
  wrong: "That was not right. Here is a new picture.",
  expired: "That picture has expired. Here is a new one.",
  again: "The confirmation has expired. Please type the characters again.",
  used: "The confirmation was used. Please type the characters again.",
  verified: "Confirmed",
  paste: "Copy this text and paste it into the form.", // on the page without JavaScript
  busy: "Too many tries. Please wait a moment.",
  failed: "No picture at the moment. Please try again.",
  offline: "The captcha server can't be reached. Please try again.",
  silent: "The sound can't be played.",
  unknownSite: "This site key is unknown.",
};
export const languages = "ar bg cs da de el en es fa fi fr he hi hu id it ja ko nb nl pl pt ro ru sv th tr uk ur vi zh".split(" ");
/** Languages in which the server speaks; the others hear English. */
export const spoken = "bg cs da de el en es fi fr hu id it nb nl pl pt ro ru sv tr uk".split(" ");
const rightToLeft = ["ar", "fa", "he", "ur"];
const otherCodes = { no: "nb", nn: "nb", iw: "he", in: "id" };
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
