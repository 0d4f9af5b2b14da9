/** What agents do to a writable layer, between two overlays of this machine. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "../../runtime/agent/rootfs/pack.js";
import { PatchMaker } from "../../runtime/agent/rootfs/patch-maker.js";
import { compare, isEmpty, type Layer, type Listing, scan } from "../../runtime/agent/rootfs/scan.js";
import { Unpacker } from "../../runtime/agent/rootfs/unpack.js";

/** Two overlays over the same lower layer: what is done in the one must appear in the other. */
export class OverlayPair {
  readonly root = mkdtempSync(join(tmpdir(), "pclive-rootfs-"));
  sent: Listing = new Map();
  private readonly patches = new PatchMaker();

  constructor() {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", this.root]);
    for (const folder of [
      "low/etc",
      "low/gone",
      "low/dir/deep",
      "a/up",
      "a/work",
      "a/merged",
      "b/up",
      "b/work",
      "b/merged",
    ])
      mkdirSync(join(this.root, folder), { recursive: true });
    for (const file of ["etc/one", "etc/two", "gone/x", "dir/deep/file", "dir/other", "top"])
      writeFileSync(join(this.root, "low", file), `low ${file}`);
    for (const side of ["a", "b"]) {
      const options = `lowerdir=${this.root}/low,upperdir=${this.root}/${side}/up,workdir=${this.root}/${side}/work`;
      execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, join(this.root, side, "merged")]);
    }
  }

  get layer(): Layer {
    return { upper: join(this.root, "a/up"), lowers: [join(this.root, "low")], merged: this.a() };
  }

  a(path = ""): string {
    return join(this.root, "a/merged", path);
  }

  b(path = ""): string {
    return join(this.root, "b/merged", path);
  }

  /** @returns bytes that had to be sent; 0: nothing has changed */
  async sync(): Promise<number> {
    const now = await scan(this.layer.upper);
    const difference = await compare(this.layer, this.sent, now);
    this.sent = now;
    if (isEmpty(difference)) return 0;
    const unpacker = new Unpacker(this.b(), 1 << 30);
    let bytes = 0;
    for await (const data of pack(this.a(), difference, this.patches)) {
      bytes += data.length;
      await unpacker.add(data);
    }
    await unpacker.finish(10_000);
    return bytes;
  }

  same(): void {
    const list = (root: string) =>
      execFileSync(
        "sh",
        [
          "-c",
          'cd "$1" && find . -printf "%P %y %m %U %G %l\\n" | sort; find . -type f -exec sha256sum {} + | sort -k2; getfattr -R -d -m user . 2>/dev/null || true',
          "sh",
          root,
        ],
        { encoding: "utf8" },
      );
    assert.equal(list(this.b()), list(this.a()));
  }

  close(): void {
    for (const mount of ["a/merged", "b/merged", ""]) execFileSync("umount", ["-l", join(this.root, mount)]);
    rmSync(this.root, { recursive: true, force: true });
  }
}
