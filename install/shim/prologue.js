// The beginning of each of the shim's scripts, a function of Node's require and the addon that gives the script's exports.
(function (__require, __addon) {
const __file = "file://" + encodeURI(process.argv[1]);
globalThis[Symbol.for("pclive.addon")] = __addon;
// In a script given with -e, `module` would be a global that loads Node's loader.
const module = { exports: {} };
const __parts = {
  // It takes long to load, and what needs it is rare: loaded with the first use of one of its functions.
  "node:fs/promises": (module) => {
    module.exports = new Proxy({}, { get: (_, name) => __require("node:fs/promises")[name] });
  },
};
const __loaded = {};
function require(name) {
  const part = __parts[name];
  if (!part) return __require(name);
  if (!__loaded[name]) {
    __loaded[name] = { exports: {} };
    part(__loaded[name], __loaded[name].exports, __require);
  }
  return __loaded[name].exports;
}
// One of the scripts that are linked in, with its code cache.
function __linked(name) {
  const { source, cache } = __addon[`${name}Script`]();
  const script = new (__require("vm").Script)(source, { filename: `${process.argv[1]}:${name}`, cachedData: cache });
  return script.runInThisContext();
}
