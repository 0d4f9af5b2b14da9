/** Leases: what is made under one is not collected before it ends. */
import { isAlreadyThere, isNotFound, type Namespace, unless } from "./client.js";
import { rpc } from "./methods.js";

/** An agent that dies leaves its lease behind: containerd ends it then by itself. */
const LEASE_HOURS = 24;

export async function createLease(ns: Namespace, id: string): Promise<void> {
  const expires = new Date(Date.now() + LEASE_HOURS * 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");
  await ns
    .call(rpc.leases.create, { id, labels: { "containerd.io/gc.expire": expires } })
    .catch(unless(isAlreadyThere));
}

export async function deleteLease(ns: Namespace, id: string): Promise<void> {
  await ns.call(rpc.leases.delete, { id }).catch(unless(isNotFound));
}
