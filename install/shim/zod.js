// In the rest: a library with a script and a code cache of its own.
__parts.zod = (module, exports) => __linked("zod")(module, exports, __require);
