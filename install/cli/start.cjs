// Starts the pclive command: its script, with the code that V8 made of it when it was built (pclive.cache), so that nothing has to be
// compiled. Another version of Node does not take that, and compiles; nothing else is different.
// With PCLIVE_KEEP_CODE=FILE what was compiled in this run is written there.
const { readFileSync, writeFileSync } = require("node:fs");
const { pathToFileURL } = require("node:url");
const { Script } = require("node:vm");

const file = `${__dirname}/pclive.js`;
const keep = process.env.PCLIVE_KEEP_CODE;

function read(name) {
  try {
    return readFileSync(name);
  } catch {
    return undefined;
  }
}

// One byte a character: outside of ASCII there are comments only, and nothing has to be decoded.
const script = new Script(readFileSync(file, "latin1"), {
  filename: file,
  cachedData: keep === undefined ? read(`${__dirname}/pclive.cache`) : undefined,
});
if (keep !== undefined) process.on("exit", () => writeFileSync(keep, script.createCachedData()));
script.runInThisContext()(require, {}, { exports: {} }, pathToFileURL(file).href);
