/** Configurations of containerd's as they are met in the field, and what must become of each. */
import { HANDLER } from "../../../runtime/cli/install/names.js";

export const V2 = "io.containerd.grpc.v1.cri";
export const V3 = "io.containerd.cri.v1.runtime";

export interface Sample {
  readonly name: string;
  readonly text: string;
  /** Tables that must be in the result; undefined: no change. */
  readonly expect: readonly string[] | "not-needed" | "unchanged";
}

const handler = (plugin: string) => `[plugins."${plugin}".containerd.runtimes.${HANDLER}]`;
const runc = (plugin: string) => `[plugins."${plugin}".containerd.runtimes.runc]`;

export const ACCEPTED: readonly Sample[] = [
  { name: "an empty file", text: "", expect: ["version = 2", handler(V2), runc(V2)] },
  {
    name: "comments only",
    text: "# my host\n\n  # nothing yet",
    expect: ["version = 2", handler(V2), runc(V2)],
  },
  { name: "version 2 and nothing else", text: "version = 2\n", expect: [handler(V2), runc(V2)] },
  { name: "version 3 and nothing else", text: "version = 3\n", expect: [handler(V3)] },
  { name: "no end of line at the end", text: "version = 3", expect: [handler(V3)] },
  { name: "CRLF", text: "version = 2\r\nroot = '/data'\r\n", expect: [handler(V2)] },
  {
    name: "Docker's package",
    text: '#   Copyright\n\ndisabled_plugins = ["cri"]\n\n#root = "/var/lib/containerd"\n#[grpc]\n',
    expect: "not-needed",
  },
  {
    name: "CRI disabled by its whole name",
    text: 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n',
    expect: "not-needed",
  },
  {
    name: "another plugin disabled",
    text: 'version = 2\ndisabled_plugins = ["io.containerd.internal.v1.restart"]\n',
    expect: [handler(V2)],
  },
  {
    name: "a node of Kubernetes",
    text: `version = 2
root = "/var/lib/containerd"   # on its own disk
[plugins]
  [plugins."${V2}"]
    sandbox_image = "registry.k8s.io/pause:3.9"
    [plugins."${V2}".containerd]
      default_runtime_name = "runc"
      [plugins."${V2}".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        pod_annotations = ["io.kubernetes.*"]
        privileged_without_host_devices = false
        [plugins."${V2}".containerd.runtimes.runc.options]
          SystemdCgroup = true
  [plugins."io.containerd.snapshotter.v1.overlayfs"]
    sync_remove = false
`,
    expect: [handler(V2), 'pod_annotations = [ "io.kubernetes.*" ]', "SystemdCgroup = true"],
  },
  {
    name: "version 3, with single quotes and NVIDIA's runtime",
    text: `version = 3
imports = []
[plugins.'${V3}'.containerd]
default_runtime_name = 'nvidia'
[plugins.'${V3}'.containerd.runtimes.nvidia]
runtime_type = 'io.containerd.runc.v2'
[plugins.'${V3}'.containerd.runtimes.nvidia.options]
BinaryName = '/usr/bin/nvidia-container-runtime'
`,
    expect: [handler(V3)],
  },
  {
    name: "dotted keys",
    text: `version = 2\nplugins."${V2}".containerd.snapshotter = "overlayfs"\n`,
    expect: [handler(V2), runc(V2)],
  },
  {
    name: "a handler that its owner wrote",
    text: `version = 2\n${handler(V2)}\nruntime_type = "io.containerd.pclive.v2"\n`,
    expect: "unchanged",
  },
];

export const REFUSED: readonly { name: string; text: string; says: RegExp }[] = [
  { name: "version 1 by silence", text: 'root = "/data"\n', says: /version 1/ },
  { name: "version 1 stated", text: "version = 1\n", says: /version 1/ },
  { name: "a version to come", text: "version = 9\n", says: /version 9/ },
  { name: "a version that is no number", text: 'version = "2"\n', says: /version 2 is not known/ },
  { name: "not TOML", text: "version = 2\n[plugins\n", says: /not valid TOML/ },
  { name: "a key twice", text: "version = 2\nversion = 2\n", says: /not valid TOML/ },
  {
    name: "runtimes in an inline table",
    text: `version = 2\n[plugins."${V2}".containerd]\nruntimes = { runc = { runtime_type = "io.containerd.runc.v2" } }\n`,
    says: /cannot be added to/,
  },
  {
    name: "another runtime of that name",
    text: `version = 2\n${handler(V2)}\nruntime_type = "io.containerd.kata.v2"\n`,
    says: /another runtime/,
  },
  { name: "a mark without its partner", text: "version = 2\n# >>> pclive >>> here\n", says: /marks/ },
];
