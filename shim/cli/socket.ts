/** Where a shim listens. One socket serves a group of containers. */
import { join } from "node:path";
import { connectUnix, sha256 } from "#addon";

const SOCKET_DIR = "/run/containerd/s";
/** sockaddr_un holds 108 bytes with the final zero; containerd allows 106. */
const MAX_PATH = 106;

/** Annotations that put containers into one shim, the first that is set counts. */
const GROUP_ANNOTATIONS = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

export function groupOf(id: string, annotations: Readonly<Record<string, string>>): string {
  for (const name of GROUP_ANNOTATIONS) {
    const group = annotations[name];
    if (group) return group;
  }
  return id;
}

/** @throws Error when the path is too long for a unix socket */
export function socketPath(grpcAddress: string, namespace: string, group: string, dir = SOCKET_DIR): string {
  const path = join(dir, sha256(join(grpcAddress, namespace, group)));
  if (Buffer.byteLength(path) > MAX_PATH)
    throw new Error(`socket path ${path} is longer than ${MAX_PATH} bytes`);
  return path;
}

/** The path of an address as containerd writes it: `unix:///path` or a bare path. */
export function pathOfAddress(address: string): string {
  return address.replace(/^unix:\/\//, "");
}

/** True when a server accepts connections at `path` within `ms` milliseconds. */
export function isAlive(path: string, ms = 2000): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectUnix(path);
    const end = (alive: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(alive);
    };
    const timer = setTimeout(() => end(false), ms);
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
