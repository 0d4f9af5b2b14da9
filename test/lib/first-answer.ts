/** When a Redis answers again: asked from host c by one small process, which takes no processor from what is timed. */
import type { Lab } from "../lab/lab.js";

const ASK = `
const { connect } = require("node:net");
const ask = () => {
  const socket = connect(6379, process.argv[1]);
  socket.on("error", () => undefined).on("connect", () => socket.write("PING\\r\\n"));
  socket.on("data", (data) => {
    if (!data.toString().startsWith("+PONG")) return socket.destroy();
    console.log(Date.now());
    process.exit();
  });
  socket.setTimeout(1000, () => socket.destroy());
};
console.log("asking");
setInterval(ask, 5);
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
