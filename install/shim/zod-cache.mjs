// zod-cache.mjs FOLDER: keeps what V8 compiled of FOLDER/zod.js for the engine's first lines (FOLDER/lines.js), as FOLDER/zod.cache.
// Run by Node with the flags that the shim will have.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";

const folder = process.argv[2];
const require = createRequire(import.meta.url);
const read = (name) => readFileSync(join(folder, name), "latin1");
const zod = new Script(read("zod.js"));
const library = { exports: {} };
zod.runInThisContext()(library, library.exports, require);

const lines = { exports: {} };
const importing = (name) => (name === "zod" ? library.exports : require(name));
new Function("module", "exports", "require", read("lines.js"))(lines, lines.exports, importing);
const { parseLine, answers } = lines.exports;
parseLine('{"event":"listening","t":"1"}');
parseLine('{"event":"go","t":"1","bytes":1,"lazy":true}');
answers.begin.parse(parseLine('{"id":1,"ok":true,"verified":true}').reply);
writeFileSync(join(folder, "zod.cache"), zod.createCachedData());
