/** The server process: listens, tells `start`, and stays. */
import { unlink } from "node:fs/promises";
import { errnoOf, messageOf } from "../errors.js";
import { serve } from "../server.js";
import { checkIdentity, type Flags } from "./flags.js";
import { sendReport } from "./report.js";
import { isAlive } from "./socket.js";

export async function runServer(flags: Flags): Promise<void> {
  checkIdentity(flags);
  if (flags.socket === "") throw new Error("the server is started by the action start");
  try {
    await listen(flags);
  } catch (error) {
    sendReport({ kind: "failed", message: messageOf(error) });
    process.exit(1);
  }
  sendReport({ kind: "ready" });
}

async function listen(flags: Flags): Promise<void> {
  try {
    await serve(flags, flags.socket);
  } catch (error) {
    if (errnoOf(error) !== "EADDRINUSE") throw error;
    if (await isAlive(flags.socket)) {
      // Another start of the same group was faster: its server is ours.
      sendReport({ kind: "ready" });
      process.exit(0);
    }
    await unlink(flags.socket);
    await serve(flags, flags.socket);
  }
}
