/** A container's use of resources, in the version of the cgroups that account for it. */
import { io } from "#protos/metrics";
import { notFound } from "../errors.js";
import { type Any, anyOf } from "../wire.js";
import { cgroupFolders } from "./cgroup.js";
import { metricsV1 } from "./stats-v1.js";
import { metricsV2 } from "./stats-v2.js";

/** @throws ShimError NOT_FOUND when the process is gone */
export async function statsOf(pid: number): Promise<Any> {
  const folders = await cgroupFolders(pid);
  const { v1, v2 } = io.containerd.cgroups;
  if (folders.version === 1) {
    return anyOf("io.containerd.cgroups.v1.Metrics", v1.Metrics, await metricsV1(folders.controllers));
  }
  if (folders.unified === undefined) throw notFound("cgroup does not exist");
  return anyOf("io.containerd.cgroups.v2.Metrics", v2.Metrics, await metricsV2(folders.unified));
}
