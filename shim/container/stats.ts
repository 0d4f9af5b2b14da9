/** A container's use of resources, in the version of the cgroups that account for it. */
import { io } from "#protos/metrics";
import { notFound } from "../errors.js";
import { type Any, anyOf } from "../wire.js";
import type { CgroupFolders } from "./cgroup.js";
import { metricsV1 } from "./stats-v1.js";
import { metricsV2 } from "./stats-v2.js";

/**
 * @param folders undefined while the container has no process
 * @throws ShimError NOT_FOUND without a cgroup
 */
export async function statsOf(folders: CgroupFolders | undefined): Promise<Any> {
  if (!folders) throw notFound("cgroup does not exist: not found");
  const { v1, v2 } = io.containerd.cgroups;
  if (folders.version === 1) {
    return anyOf("io.containerd.cgroups.v1.Metrics", v1.Metrics, await metricsV1(folders.controllers));
  }
  if (folders.unified === undefined) throw notFound("cgroup does not exist: not found");
  return anyOf("io.containerd.cgroups.v2.Metrics", v2.Metrics, await metricsV2(folders.unified));
}
