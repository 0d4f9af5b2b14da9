import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseMountOptions, unmountAll } from "#addon";
import { pathInRoot } from "../../../native/addon/root-path.js";

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
      import { mount, mountPointsBelow, unmount, unmountAll } from ${JSON.stringify(import.meta.resolve("#addon"))};
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
    assert.deepEqual(parseMountOptions(["loop", "ro", "direct-io", "discard"]), {
      flags: 1,
      data: "discard",
      loop: { direct: true },
    });
    assert.deepEqual(parseMountOptions(["uidmap=0:1000:10", "gidmap=0:1000:10,10:5000:1", "loop=x"]), {
      flags: 0,
      data: "loop=x",
      idMapping: { uid: "0:1000:10", gid: "0:1000:10,10:5000:1" },
    });
    assert.throws(() => parseMountOptions(["uidmap=0:1:2"]), /only go together/);
    for (const wrong of ["", "0:1", "0:1:2:3", "0:1:4294967296", "-1:0:1", "0 0 1", "0:0:1,"]) {
      const options = [`uidmap=${wrong}`, "gidmap=0:0:1"];
      assert.throws(() => parseMountOptions(options), /not of the form CONTAINER:HOST:SIZE/, wrong);
    }
    assert.throws(() => parseMountOptions(["X-containerd.mkdir.path=/x"]), /is not supported/);
    assert.throws(() => parseMountOptions(["a\0b"]), /zero byte/);
  });

  it("mounts an overlay, stacks, and takes all away", async () => {
    await inNamespace(`
      const [lower, upper, work, root] = ["lower", "up per", "work", "rootfs"].map(mk);
      fs.writeFileSync(lower + "/f", "from below");
      const options = ["index=off", "workdir=" + work, "upperdir=" + upper, "lowerdir=" + lower];
      mount({ type: "tmpfs", source: "tmpfs", options: ["size=1m", "nosuid"] }, dir + "/work");
      unmount(dir + "/work");
      mount({ type: "overlay", source: "overlay", options }, root);
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

  it("stays inside of the root, whatever links are there", async () => {
    await inNamespace(`
      const root = mk("rootfs");
      mk("rootfs/etc/sub");
      fs.symlinkSync("/etc", root + "/out");
      fs.symlinkSync("../../../etc", root + "/up");
      const tmpfs = { type: "tmpfs", source: "tmpfs", options: [] };
      mount({ ...tmpfs, target: "out/sub" }, root);
      mount({ ...tmpfs, target: "/up" }, root);
      assert.deepEqual(mountPointsBelow(root), [root + "/etc/sub", root + "/etc"]);
      assert.throws(() => mount({ ...tmpfs, target: "none" }, root), { code: "ENOENT" });
      assert.throws(() => mount({ type: "nosuchfs", source: "x" }, root), { code: "ENODEV", syscall: "mount" });
      unmountAll(root);
      assert.deepEqual(mountPointsBelow(root), []);`);
  });

  it("resolves names as if the root were /", () => {
    mkdirSync(join(folder, "a/b"), { recursive: true });
    symlinkSync("/a", join(folder, "absolute"));
    symlinkSync("../../..", join(folder, "a/b/up"));
    symlinkSync("loop", join(folder, "loop"));
    const inside = (path: string) => pathInRoot(folder, path).slice(folder.length);
    assert.deepEqual(["", "/", "..", "a/b", "absolute/b", "a/b/up/a", "a/../../x", "./a//b/"].map(inside), [
      "",
      "",
      "",
      "/a/b",
      "/a/b",
      "/a",
      "/x",
      "/a/b",
    ]);
    assert.throws(() => inside("loop"), /too many symbolic links/);
  });

  if (existsSync("/dev/loop-control")) {
    it("mounts an image file by a loop device, which goes with the mount", async () => {
      await inNamespace(`
      const [root, tree] = ["rootfs", "tree"].map(mk);
      fs.writeFileSync(tree + "/f", "in the image");
      const image = dir + "/image.ext4";
      execFileSync("mkfs.ext4", ["-q", "-F", "-d", tree, image, "4m"]);
      const holders = () => execFileSync("losetup", ["--list", "--noheadings", "--output", "NAME", "--associated", image], { encoding: "utf8" }).trim();
      mount({ type: "ext4", source: image, options: ["loop", "ro"] }, root);
      assert.equal(fs.readFileSync(root + "/f", "utf8"), "in the image");
      assert.throws(() => fs.writeFileSync(root + "/g", ""), { code: "EROFS" });
      assert.match(holders(), /^\\/dev\\/loop\\d+$/);
      assert.equal(unmountAll(root, { lazy: false }), true);
      assert.equal(holders(), "");
      fs.writeFileSync(dir + "/empty", "");
      assert.throws(() => mount({ type: "ext4", source: dir + "/empty", options: ["loop"] }, root), { syscall: "mount" });
      assert.throws(() => mount({ type: "ext4", source: dir + "/none", options: ["loop"] }, root), { code: "ENOENT", syscall: "open" });`);
    });
  }

  it("shifts the owners of binds and of overlays' layers", async () => {
    await inNamespace(`
      const top = mk("top");
      mount({ type: "tmpfs", source: "tmpfs", options: ["size=8m"] }, top);
      const shift = ["uidmap=0:1000:100,100:5000:10", "gidmap=0:2000:65536"];
      const layers = [];
      for (let i = 0; i < 60; i += 1) {
        const layer = mk("top/a-name-that-makes-the-list-of-layers-longer-than-one-page-of-memory/snapshots/" + i + "/fs");
        fs.writeFileSync(layer + "/" + i, "");
        fs.chownSync(layer + "/" + i, i, i);
        layers.push(layer);
      }
      const owner = (path) => { const { uid, gid } = fs.statSync(path); return [uid, gid]; };
      const [bind, overlay] = ["bind", "top/rootfs"].map(mk);
      mount({ type: "bind", source: layers[7], options: ["rbind", "rw", ...shift] }, bind);
      assert.deepEqual(owner(bind + "/7"), [1007, 2007]);
      const options = ["upperdir=" + mk("top/u"), "workdir=" + mk("top/w"), "lowerdir=" + layers.join(":"), ...shift];
      mount({ type: "overlay", source: "overlay", options }, overlay);
      assert.deepEqual(owner(overlay + "/0"), [1000, 2000]);
      assert.deepEqual(owner(overlay + "/59"), [1059, 2059]);
      assert.deepEqual(fs.readdirSync(top).sort().filter((name) => name.startsWith("idmapped")), []);
      // What is shifted already cannot be shifted again, and need not be.
      const [next, stray] = ["top/next", "top/a-name-that-makes-the-list-of-layers-longer-than-one-page-of-memory/snapshots/stray"].map(mk);
      mount({ type: "bind", source: layers[7], options: ["bind", ...shift] }, stray);
      const others = ["upperdir=" + mk("top/u2"), "workdir=" + mk("top/w2"), "lowerdir=" + layers[0] + ":" + layers[1], ...shift];
      mount({ type: "overlay", source: "overlay", options: others }, next);
      assert.deepEqual(owner(next + "/1"), [1001, 2001]);
      unmount(next);
      unmountAll(stray);
      // A layer with a mount of its own is taken with it.
      mount({ type: "tmpfs", source: "tmpfs" }, mk("top/layer/fs"));
      fs.writeFileSync(top + "/layer/fs/deep", "");
      const deep = ["lowerdir=" + top + "/layer/fs:" + layers[1], ...shift];
      unmount(overlay);
      mount({ type: "overlay", source: "overlay", options: deep }, next);
      assert.deepEqual(owner(next + "/deep"), [1000, 2000]);
      unmount(next);
      mount({ type: "overlay", source: "overlay", options }, overlay);
      assert.deepEqual(mountPointsBelow(top), [top, top + "/layer/fs", overlay]);
      assert.throws(() => mount({ type: "overlay", source: "overlay", options: ["lowerdir=/usr:/etc", ...shift] }, overlay), /no folder in common/);
      unmountAll(dir);
      assert.deepEqual(mountPointsBelow(dir), []);`);
  });

  it("leaves what is in use, unless it may be lazy", async () => {
    await inNamespace(`
      const root = mk("rootfs");
      mount({ type: "tmpfs", source: "tmpfs" }, root);
      const open = fs.openSync(root + "/f", "w");
      assert.equal(unmountAll(root, { lazy: false }), false);
      assert.equal(mountPointsBelow(root).length, 1);
      fs.closeSync(open);
      assert.equal(unmountAll(root, { lazy: false }), true);
      assert.deepEqual(mountPointsBelow(root), []);`);
  });

  it("checks its arguments", () => {
    assert.throws(() => unmountAll("relative"), /root must be an absolute path, not 'relative'/);
  });
});
