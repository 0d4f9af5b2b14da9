// In the rest: a library with a script and a code cache of its own.
__parts.zod = (module, exports) => {
  const { source, cache } = __addon.zodScript();
  const script = new (__require("vm").Script)(source, { filename: `${process.argv[1]}:zod`, cachedData: cache });
  script.runInThisContext()(module, exports, __require);
};
