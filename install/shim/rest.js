// In the start script: where the other one comes from.
__parts["#shim/rest"] = (module) => {
  const { source, cache } = __addon.restScript();
  const script = new (__require("vm").Script)(source, { filename: `${process.argv[1]}:rest`, cachedData: cache });
  module.exports = script.runInThisContext()(__require, __addon);
};
