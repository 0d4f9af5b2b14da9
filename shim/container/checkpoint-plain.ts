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

/** CRIU's log says why, and would vanish with the work folder. */
async function explained(container: Container, workPath: string, error: unknown): Promise<ShimError> {
  const kept = join(container.bundle, "criu-dump.log");
  const found = await copyFile(join(workPath, "dump.log"), kept).then(
    () => true,
    () => false,
  );
  const where = found ? ` path= ${kept}` : "";
  return new ShimError("UNKNOWN", `${messageOf(error)}${where}`, "see CRIU's log", error);
}
