import assert from "node:assert/strict";
import type { AgentError } from "../../../runtime/agent/errors.js";
import { chainIds } from "../../../runtime/agent/image/oci.js";
import {
  formatManifest,
  MAX_MANIFEST,
  type Manifest,
  parseManifest,
} from "../../../runtime/agent/manifest.js";

const blob = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: `sha256:${"a".repeat(64)}`,
  size: 10,
};

const example: Manifest = {
  version: 1,
  agent: { host: "a", port: 7420 },
  namespace: "default",
  container: "redis",
  labels: { app: "redis" },
  image: { name: "docker.io/library/redis:latest", target: blob, blobs: [blob] },
  runtime: { name: "io.containerd.pclive.v2" },
  spec: { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: "e30=" },
  extensions: {},
  sandbox: "",
  snapshotter: "overlayfs",
  stdio: { stdin: "", stdout: "", stderr: "" },
  descriptors: ["/dev/null", "pipe:[1]", "pipe:[2]"],
  network: {
    kind: "path",
    path: "/run/netns/redis",
    interfaces: [
      { name: "eth0", mac: "02:00:00:00:00:01", mtu: 1500, up: true, addresses: ["10.10.1.1/16"] },
    ],
    routes: [{ family: "inet", destination: "default", gateway: "10.10.0.1", device: "eth0" }],
  },
  binds: [],
  memory: { resident: 1 },
  writable: 0,
  system: { kernel: "6.18", arch: "x86_64", cpu: ["sse2"], criu: "4.2.1" },
};

describe("manifest", () => {
  it("survives the way", () => {
    assert.deepEqual(parseManifest(formatManifest(example)), example);
  });

  it("is refused when anything is out of bounds", () => {
    const bad: [string, unknown][] = [
      ["container", "../etc"],
      ["container", "a/b"],
      ["namespace", ""],
      ["runtime", { name: "io.containerd.runc.v2" }],
      ["descriptors", ["/dev/null"]],
      ["snapshotter", "over lay"],
      ["memory", { resident: -1 }],
      ["image", { ...example.image, target: { ...blob, digest: "sha256:00" } }],
      [
        "network",
        {
          ...example.network,
          interfaces: [
            { name: "eth0; reboot", mac: "02:00:00:00:00:01", mtu: 1500, up: true, addresses: [] },
          ],
        },
      ],
      [
        "network",
        {
          ...example.network,
          routes: [{ family: "inet", destination: "default\nlink del eth0", device: "eth0" }],
        },
      ],
      ["network", { kind: "path", path: "run/netns/x", interfaces: [], routes: [] }],
    ];
    for (const [field, value] of bad) {
      const text = JSON.stringify({ ...example, [field]: value });
      assert.throws(
        () => parseManifest(text),
        (error: AgentError) => error.code === "PROTOCOL" && error.message.includes(field),
        `${field} ${JSON.stringify(value)}`,
      );
    }
    assert.throws(() => parseManifest("x".repeat(MAX_MANIFEST + 1)), /longer/);
    assert.throws(() => parseManifest("{"), /not JSON/);
  });
});

describe("chain ids", () => {
  it("are those of the image specification", () => {
    const [a, b] = [`sha256:${"1".repeat(64)}`, `sha256:${"2".repeat(64)}`];
    const chain = chainIds([a, b]);
    assert.equal(chain[0], a);
    // printf 'sha256:11…1 sha256:22…2' | sha256sum
    assert.match(chain[1] ?? "", /^sha256:[0-9a-f]{64}$/);
    assert.notEqual(chain[1], b);
    assert.deepEqual(chainIds([]), []);
  });
});
