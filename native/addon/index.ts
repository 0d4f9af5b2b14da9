/** The system calls that Node lacks. Errors of the system are like Node's own: `code`, `errno`, `syscall`. */
export { dropAttributes, hasAttributes } from "./attributes.js";
export { eventFd, pipe, readEventFd, realtimeNs, setWinsize, watchReadable } from "./descriptors.js";
export { sha256 } from "./digest.js";
export { giveBackMemory } from "./heap.js";
export {
  type MountSpec,
  mount,
  unmount,
  unmountAll,
} from "./mount.js";
export { type IdMapping, type ParsedOptions, parseMountOptions } from "./mount-options.js";
export { mountPointsBelow } from "./mount-points.js";
export { type OomWatch, watchOom } from "./oom.js";
export {
  getPeerCred,
  type PeerCred,
  pidfdOpen,
  pidfdSendSignal,
  type Reaped,
  reap,
  setParentDeathSignal,
  setSubreaper,
} from "./process.js";
export { type Pump, type PumpOptions, pump } from "./pump.js";
export { leaveLauncher, report } from "./report.js";
export { connectUnix, listenUnix, type UnixListener, UnixSocket } from "./socket.js";
export { memoryFile, type SpawnOptions, spawn, writtenTo } from "./spawn.js";
