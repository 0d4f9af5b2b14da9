/** Names of images in the cache, and how the command line says where one is. */
import { z } from "zod";
import { AgentError } from "../errors.js";
import { identifier } from "../manifest.js";

const SEPARATOR = "/";
/** In the name of its folder; no part of a name has it. */
const IN_FOLDER = "@";
const MAX_PARTS = 4;
const STANDBY = "standby";

/** Up to four words with slashes between, each as containerd would name a container. */
export const cacheName = z
  .string()
  .max(255)
  .refine((name) => {
    const parts = name.split(SEPARATOR);
    return parts.length <= MAX_PARTS && parts.every((part) => identifier.safeParse(part).success);
  }, "is no name of an image");

export function folderName(name: string): string {
  return name.replaceAll(SEPARATOR, IN_FOLDER);
}

/** Under which the newest state of a container waits for a failover. */
export function standbyName(namespace: string, container: string): string {
  return [STANDBY, namespace, container].join(SEPARATOR);
}

export function isStandby(name: string): boolean {
  return name.startsWith(`${STANDBY}${SEPARATOR}`);
}

/** A place in the cache of another host: `peer:HOST[/NAME]`. */
export interface PeerPlace {
  readonly host: string;
  /** Empty: none was given. */
  readonly name: string;
}

/** @returns undefined when it is another kind of place @throws AgentError USAGE */
export function peerPlace(place: string): PeerPlace | undefined {
  if (!place.startsWith("peer:")) return undefined;
  const [, host = "", name = ""] = /^peer:([^/]+)(?:\/(.*))?$/s.exec(place) ?? [];
  if (host !== "" && (name === "" || cacheName.safeParse(name).success)) return { host, name };
  throw new AgentError("USAGE", `${JSON.stringify(place.slice(0, 300))} is no place at a peer`, {
    remedy: "write it like peer:HOST or peer:HOST/NAME, with letters, digits, dots and dashes in NAME",
  });
}

/** @returns undefined when it is another kind of place @throws AgentError USAGE */
export function cachePlace(place: string): string | undefined {
  return place.startsWith("cache:") ? checkedName(place.slice("cache:".length)) : undefined;
}

/** @throws AgentError USAGE */
export function checkedName(name: string): string {
  const result = cacheName.safeParse(name);
  if (result.success) return result.data;
  throw new AgentError("USAGE", `${JSON.stringify(name.slice(0, 300))} is no name of an image`, {
    remedy: "list them with pclive images",
  });
}
