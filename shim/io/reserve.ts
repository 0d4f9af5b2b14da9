/** Descriptors that new streams must leave free: without them runC could not be run to end what is there. */
import { readdirSync, readFileSync } from "node:fs";
import { ShimError } from "../errors.js";

/** A run of runC takes eight; several may be under way. */
const RESERVE = 64;

/** @throws ShimError UNAVAILABLE when this process has hardly any descriptor left */
export function mustHaveDescriptors(): void {
  const limit = descriptorLimit();
  const used = readdirSync("/proc/self/fd").length;
  if (used + RESERVE <= limit) return;
  throw new ShimError(
    "UNAVAILABLE",
    `too many open files: the shim uses ${used} of ${limit} descriptors, and keeps ${RESERVE} for ending containers; ` +
      "raise the limit of containerd's service (LimitNOFILE) or put fewer containers into one shim",
  );
}

/** Read anew: an administrator may change it while we run. */
function descriptorLimit(): number {
  const line = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return line === undefined || line === "unlimited" ? Number.POSITIVE_INFINITY : Number(line);
}
