/** ttrpc as a package of its own: built, installed and used as its page says. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

describe("the package ttrpc-ts", function () {
  this.timeout(180_000);

  it("does what the example on its page says", () => {
    const folder = mkdtempSync(join(tmpdir(), "ttrpc-ts-"));
    try {
      const modules = join(folder, "node_modules");
      mkdirSync(modules);
      execFileSync("shim/ttrpc/pack.sh", [join(modules, "ttrpc-ts")], { timeout: 150_000, stdio: "inherit" });
      const { dependencies } = JSON.parse(readFileSync("shim/ttrpc/package.json", "utf8"));
      for (const name of Object.keys(dependencies))
        symlinkSync(resolve("node_modules", name), join(modules, name));
      const page = readFileSync(join(modules, "ttrpc-ts/README.md"), "utf8");
      const example = /```js\n(.*?)```/s.exec(page)?.[1] ?? "";
      writeFileSync(join(folder, "example.mjs"), example);
      const options = { cwd: folder, encoding: "utf8", timeout: 20_000 } as const;
      const output = execFileSync(process.execPath, ["example.mjs"], options);
      assert.equal(output, "hello you!\na\nb\nc\none two\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
