/** One folder that hosts a and b both have, as a network file system would give it to them. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Lab } from "../lab/lab.js";

/** On the hosts. */
export const SHARED = "/shared";
/** Hosts see this machine's build folder, read-only but for this part. build/js/test/lib → build */
const HERE = fileURLToPath(new URL("../../../bench/shared", import.meta.url));
const THERE = "/repo/build/bench/shared";

export async function shareFolder(lab: Lab): Promise<void> {
  mkdirSync(HERE, { recursive: true });
  const share = `mountpoint -q ${SHARED} || { mkdir -p ${SHARED} && mount --bind ${THERE} ${SHARED} && mount -o remount,rw,bind ${SHARED}; }`;
  for (const host of ["a", "b"]) await lab.exec(host, ["sh", "-c", share]);
}
