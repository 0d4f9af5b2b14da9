/** The same tests of the protocol, its limits and its streams, over the addon's sockets instead of Node's. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const MOCHA = fileURLToPath(new URL("../../../../../node_modules/mocha/bin/mocha.js", import.meta.url));
/** That one is about what the package loads by itself. */
const ABOUT_IMPORTS = "imports nothing";

describe("ttrpc over the addon's sockets", () => {
  it("holds all that holds over Node's", function () {
    this.timeout(120_000);
    const files = readdirSync(HERE).filter((name) => name.endsWith(".test.js") && name !== "native.test.js");
    const args = ["--import", `${HERE}use-native.js`, MOCHA, "--exit", "--timeout", "30000"];
    const tests = ["--grep", ABOUT_IMPORTS, "--invert", ...files.map((name) => HERE + name)];
    const { status, stdout } = spawnSync(process.execPath, [...args, ...tests], {
      encoding: "utf8",
      timeout: 110_000,
    });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /passing/);
  });
});
