/** The files of a bundle: read, or refused by an error that says so. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readInitPid, readOptions, readSpec } from "../../../shim/bundle/files.js";
import { DEFAULT_OPTIONS } from "../../../shim/bundle/options.js";
import { groupOf, socketPath } from "../../../shim/cli/socket.js";
import { ShimError } from "../../../shim/errors.js";
import { mutateJson } from "../mutate-json.js";
import type { Target } from "../target.js";

const SPEC = {
  ociVersion: "1.0.2",
  annotations: { "io.kubernetes.cri.sandbox-id": "abc", other: "x" },
  process: { terminal: false, args: ["sh"], env: ["A=b"] },
  root: { path: "rootfs", readonly: true },
  mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["ro"] }],
  linux: { cgroupsPath: "/a/b", namespaces: [{ type: "pid" }, { type: "network", path: "/run/netns/x" }] },
};
const OPTIONS = {
  binary_name: "runc",
  root: "/run/runc",
  systemd_cgroup: true,
  io_uid: 7,
  shim_cgroup: "/x",
};

let folder = "";

export const bundle: Target = {
  name: "bundle",
  seeds: [SPEC, OPTIONS].map((value) => Buffer.from(JSON.stringify(value))),
  mutate: mutateJson,
  covers: ["/shim/"],
  async open() {
    folder = mkdtempSync(join(tmpdir(), "bundle-fuzz-"));
  },
  run(input) {
    for (const name of ["config.json", "options.json", "init.pid"]) writeFileSync(join(folder, name), input);
    orShimError(() => {
      const spec = readSpec(folder);
      const group = groupOf("id", spec.annotations ?? {});
      assert.equal(typeof group, "string");
      assert.match(
        socketPath("/run/containerd/containerd.sock", "default", group),
        /^\/run\/containerd\/s\/[0-9a-f]{64}$/,
      );
      for (const { type, path } of spec.linux?.namespaces ?? [])
        assert.ok(type.length + (path ?? "").length >= 0);
    });
    orShimError(() => {
      for (const [name, value] of Object.entries(readOptions(folder))) {
        assert.equal(typeof value, typeof DEFAULT_OPTIONS[name as keyof typeof DEFAULT_OPTIONS], name);
      }
    });
    assert.ok((readInitPid(folder) ?? 1) > 0);
  },
  async close() {
    rmSync(folder, { recursive: true });
  },
};

function orShimError(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof ShimError)) throw error;
  }
}
