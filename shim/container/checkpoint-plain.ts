/** The plain checkpoint: runC and CRIU write the task into a folder. */
import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, ShimError } from "../errors.js";
import type { CheckpointRequest } from "./checkpoint.js";
import type { Container } from "./container.js";

/** The container is running or paused, and nobody else's for the time. @throws ShimError */
export async function plainCheckpoint(container: Container, request: CheckpointRequest): Promise<void> {
  const temporary = join(container.bundle, "work", "criu-work");
  const workPath = request.workPath || temporary;
  await mkdir(workPath, { recursive: true, mode: 0o700 });
  try {
    await run(container, request, workPath);
  } catch (error) {
    throw await explained(container, workPath, error);
  } finally {
    if (request.workPath === "") await rm(temporary, { recursive: true, force: true });
  }
}

function run(container: Container, request: CheckpointRequest, workPath: string): Promise<void> {
  return container.runc.checkpoint(container.id, {
    imagePath: request.path,
    workPath,
    leaveRunning: !request.exit,
    tcpEstablished: request.openTcp,
    externalUnixSockets: request.externalUnixSockets,
    shellJob: request.terminal,
    fileLocks: request.fileLocks,
    emptyNamespaces: request.emptyNamespaces,
    ...(request.parentPath === "" ? {} : { parentPath: request.parentPath }),
  });
}

async function explained(container: Container, workPath: string, error: unknown): Promise<ShimError> {
  const where = await keepDumpLog(container.bundle, workPath);
  return new ShimError("UNKNOWN", `${messageOf(error)}${where}`, "see CRIU's log", error);
}

/**
 * CRIU's log says why, and would vanish with its folder: it is kept where users of the stock shim look for it.
 * @returns what an error's text says of that; nothing when there is no log
 */
export function keepDumpLog(bundle: string, folder: string): Promise<string> {
  const kept = join(bundle, "criu-dump.log");
  return copyFile(join(folder, "dump.log"), kept).then(
    () => ` path= ${kept}`,
    () => "",
  );
}
