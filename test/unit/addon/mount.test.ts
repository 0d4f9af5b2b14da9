import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseMountOptions, unmountAll } from "#addon";

const run = promisify(execFile);

describe("addon: mounts", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "addon mount-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Runs code in a mount namespace of its own, with the addon's functions and `dir`. */
  async function inNamespace(code: string): Promise<string> {
    const script = `
      import { execFileSync } from "node:child_process";
      import * as fs from "node:fs";
      import assert from "node:assert/strict";
      import { mount, mountAll, mountPointsBelow, unmount, unmountAll } from ${JSON.stringify(import.meta.resolve("#addon"))};
      const dir = ${JSON.stringify(folder)};
      const mk = (name) => { fs.mkdirSync(dir + "/" + name, { recursive: true }); return dir + "/" + name; };
      ${code}`;
    const args = ["-m", "--propagation", "private", process.execPath, "--input-type=module", "-e", script];
    return (await run("unshare", args, { timeout: 20_000 })).stdout;
  }

  it("parses options as fstab has them", () => {
    assert.deepEqual(parseMountOptions(["rbind", "ro"]), { flags: 4096 | 16384 | 1, data: "" });
    assert.deepEqual(parseMountOptions(["ro", "rw", "nosuid", "size=1m", "mode=755"]), {
      flags: 2,
      data: "size=1m,mode=755",
    });
    assert.throws(() => parseMountOptions(["loop"]), /option 'loop' is not supported/);
    assert.throws(() => parseMountOptions(["a\0b"]), /zero byte/);
  });

  it("mounts an overlay, stacks, and takes all away", async () => {
    await inNamespace(`
      const [lower, upper, work, root] = ["lower", "up per", "work", "rootfs"].map(mk);
      fs.writeFileSync(lower + "/f", "from below");
      const options = ["index=off", "workdir=" + work, "upperdir=" + upper, "lowerdir=" + lower];
      mount({ type: "tmpfs", source: "tmpfs", options: ["size=1m", "nosuid"] }, dir + "/work");
      unmount(dir + "/work");
      mountAll([{ type: "overlay", source: "overlay", options }], root);
      assert.equal(fs.readFileSync(root + "/f", "utf8"), "from below");
      fs.writeFileSync(root + "/g", "new");
      assert.equal(fs.readFileSync(upper + "/g", "utf8"), "new");
      fs.mkdirSync(root + "/sub dir");
      mount({ type: "tmpfs", source: "tmpfs", target: "/sub dir", options: [] }, root);
      mount({ type: "tmpfs", source: "tmpfs", options: [] }, root);
      assert.equal(mountPointsBelow(root).length, 3);
      const open = fs.openSync(root + "/busy", "w");
      unmountAll(root);
      unmountAll(root);
      unmountAll(root + "/no/such");
      assert.deepEqual(mountPointsBelow(root), []);
      fs.closeSync(open);`);
  });

  it("makes read-only binds read-only", async () => {
    await inNamespace(`
      const [from, to] = ["from", "to"].map(mk);
      mount({ type: "bind", source: from, options: ["rbind", "ro"] }, to);
      assert.throws(() => fs.writeFileSync(to + "/x", ""), { code: "EROFS" });
      fs.writeFileSync(from + "/x", "");
      assert.ok(fs.existsSync(to + "/x"));`);
  });

  it("mounts an overlay of many layers", async () => {
    await inNamespace(`
      const layers = [];
      for (let i = 0; i < 100; i += 1) {
        const layer = mk("io.containerd.snapshotter.v1.overlayfs-and-a-long-name/snapshots/" + i + "/fs");
        fs.writeFileSync(layer + "/" + i, "");
        layers.push(layer);
      }
      const root = mk("rootfs");
      mount({ type: "overlay", source: "overlay", options: ["upperdir=" + mk("u"), "workdir=" + mk("w"), "lowerdir=" + layers.join(":")] }, root);
      assert.equal(fs.readdirSync(root).length, 100);
      assert.equal(process.cwd(), ${JSON.stringify(process.cwd())});`);
  });

  it("undoes what it mounted when a later mount fails, and stays inside of the root", async () => {
    await inNamespace(`
      const root = mk("rootfs");
      fs.symlinkSync("/etc", root + "/out");
      const tmpfs = { type: "tmpfs", source: "tmpfs", options: [] };
      assert.throws(() => mount({ ...tmpfs, target: "out" }, root), /outside of/);
      assert.throws(() => mount({ ...tmpfs, target: "../" }, root), /outside of/);
      assert.throws(() => mountAll([tmpfs, { type: "nosuchfs", source: "x", options: [] }], root), { code: "ENODEV", syscall: "mount" });
      assert.deepEqual(mountPointsBelow(root), []);`);
  });

  it("checks its arguments", () => {
    assert.throws(() => unmountAll("relative"), /root must be an absolute path, not 'relative'/);
  });
});
