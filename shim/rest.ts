/** What a shim does once containerd has its address, and what it seldom does at all (see main.ts). */
export { deleteLeftovers } from "./cli/delete.js";
export { info, version } from "./cli/info.js";
export { serveInherited, serveOrLeave } from "./server.js";
