/** When a Redis answers again: asked from host c by one small process, which takes no processor from what is timed. */
import type { Lab } from "../lab/lab.js";

const ASK = `
const { connect } = require("node:net");
// Ports that no client of before was given: what CRIU restores must not meet a new connection of the same name.
let localPort = 10000 + (process.pid % 10) * 2000;
const ask = () => {
  const socket = connect({ port: 6379, host: process.argv[1], localPort: localPort++ });
  socket.on("error", () => undefined).on("connect", () => socket.write("PING\\r\\n"));
  socket.on("data", (data) => {
    if (!data.toString().startsWith("+PONG")) return socket.destroy();
    console.log(Date.now());
    process.exit();
  });
  socket.setTimeout(1000, () => socket.destroy());
};
console.log("asking");
setInterval(ask, 10);
`;

export interface FirstAnswer {
  /** Unix time, ms. Rejects when there was none in time. */
  readonly at: Promise<number>;
}

/** Resolves when it has begun to ask. */
export async function awaitAnswer(lab: Lab, address: string, timeoutMs: number): Promise<FirstAnswer> {
  const child = lab.spawn("c", [
    "timeout",
    String(timeoutMs / 1000),
    "/opt/node/bin/node",
    "-e",
    ASK,
    address,
  ]);
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const at = new Promise<number>((resolve, reject) =>
    child.once("close", () => {
      const time = Number(said.trim().split("\n")[1]);
      if (time > 0) resolve(time);
      else reject(new Error(`redis did not answer in ${timeoutMs} ms`));
    }),
  );
  at.catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    at.catch(reject);
  });
  return { at };
}
