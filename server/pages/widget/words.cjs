// Makes `words.js` for the package, as `server/api/assets.py` does for the scripts of the server.
const { readFileSync, writeFileSync } = require("node:fs");
const read = (name) => readFileSync(`${__dirname}/../${name}.json`, "utf8");
writeFileSync(
  `${__dirname}/words.js`,
  `export const english = ${read("languages/en")};\nexport const { otherCodes, rightToLeft } = ${read("language_tags")};\n`,
);
