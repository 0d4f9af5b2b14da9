// In the start script: where the other one comes from.
__parts["#shim/rest"] = (module) => {
  module.exports = __linked("rest")(__require, __addon);
};
