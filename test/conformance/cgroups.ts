/** Who makes the cgroups of the table's containers: runC itself, or systemd at its request. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { containerd, type google } from "#protos/shim";

export interface CgroupDriver {
  /** `linux.cgroupsPath` of config.json. */
  pathOf(id: string): string;
  /** Whether a container's cgroup is there. */
  exists(id: string): boolean;
  /** The runtime options that ask for it. */
  readonly options?: google.protobuf.Any.$Properties;
}

/** Of version 2, or the one of version 1 that every container is in. */
const HIERARCHIES = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];

function isThere(path: string): boolean {
  return HIERARCHIES.some((hierarchy) => existsSync(join(hierarchy, path)));
}

export const CGROUPFS: CgroupDriver = {
  pathOf: (id) => `/conformance/${id}`,
  exists: (id) => isThere(`conformance/${id}`),
};

export const SYSTEMD: CgroupDriver = {
  pathOf: (id) => `conformance.slice:table:${id}`,
  exists: (id) => isThere(`conformance.slice/table-${id}.scope`),
  options: {
    type_url: "containerd.runc.v1.Options",
    value: containerd.runc.v1.Options.encode({ systemdCgroup: true }).finish(),
  },
};
