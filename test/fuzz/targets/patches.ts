/** Changes of files from another host: made below the root, or refused by an error that says so; nothing stays open. */
import assert from "node:assert/strict";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentError } from "../../../runtime/agent/errors.js";
import { blockFrame, END, fileFrame } from "../../../runtime/agent/rootfs/patch-format.js";
import { PatchTaker } from "../../../runtime/agent/rootfs/patch-taker.js";
import { mutateBytes } from "../mutate-bytes.js";
import type { Target } from "../target.js";

const PAGE = 4096;
const SECRET = "outside of the root";
const header = { path: "file", size: 9000, mode: 0o644, uid: 0, gid: 0, accessed: 1, modified: 2 };

let folder = "";

export const patches: Target = {
  name: "patches",
  seeds: [
    Buffer.concat([fileFrame(header), blockFrame(8, 3, false), Buffer.from("abc"), END, END]),
    Buffer.concat([
      fileFrame({ ...header, path: "link/secret" }),
      blockFrame(0, 4096, true),
      blockFrame(5000, 1, false),
      Buffer.from("x"),
      END,
      fileFrame({ ...header, path: "link" }),
      END,
      END,
    ]),
  ],
  mutate: mutateBytes,
  covers: ["/rootfs/"],
  async open() {
    folder = mkdtempSync(join(tmpdir(), "patches-fuzz-"));
  },
  async run(input) {
    const root = mkdtempSync(join(folder, "root-"));
    const outside = mkdtempSync(join(folder, "outside-"));
    writeFileSync(join(root, "file"), "contents");
    writeFileSync(join(outside, "secret"), SECRET);
    symlinkSync(outside, join(root, "link"));
    const open = readdirSync("/proc/self/fd").length;
    const taker = new PatchTaker(root);
    try {
      await taker.add(input);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
    }
    await taker.close();
    assert.equal(readdirSync("/proc/self/fd").length, open, "a file stayed open");
    assert.deepEqual(readdirSync(root).sort(), ["file", "link"]);
    // A block of data takes 13 bytes at least, and lies on two pages more than it fills at most.
    const touched = PAGE + input.length + (2 * PAGE * input.length) / 13;
    assert.ok(lstatSync(join(root, "file")).blocks * 512 <= touched, "holes are not filled");
    assert.equal(readFileSync(join(outside, "secret"), "utf8"), SECRET);
    for (const made of [root, outside]) rmSync(made, { recursive: true });
  },
  async close() {
    rmSync(folder, { recursive: true });
  },
};
