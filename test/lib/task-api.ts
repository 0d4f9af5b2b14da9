/** The Task service as a client describes it; versions 2 and 3 have the same messages. */
import { containerd, google } from "#protos/shim";
import type { ServiceClient } from "#ttrpc";

const api = containerd.task.v2;
const { Empty } = google.protobuf;

export const TASK_METHODS = {
  Create: { request: api.CreateTaskRequest, response: api.CreateTaskResponse },
  Start: { request: api.StartRequest, response: api.StartResponse },
  State: { request: api.StateRequest, response: api.StateResponse },
  Exec: { request: api.ExecProcessRequest, response: Empty },
  Kill: { request: api.KillRequest, response: Empty },
  Wait: { request: api.WaitRequest, response: api.WaitResponse },
  Delete: { request: api.DeleteRequest, response: api.DeleteResponse },
  Pids: { request: api.PidsRequest, response: api.PidsResponse },
  Pause: { request: api.PauseRequest, response: Empty },
  Resume: { request: api.ResumeRequest, response: Empty },
  Update: { request: api.UpdateTaskRequest, response: Empty },
  Checkpoint: { request: api.CheckpointTaskRequest, response: Empty },
  ResizePty: { request: api.ResizePtyRequest, response: Empty },
  CloseIO: { request: api.CloseIORequest, response: Empty },
  Stats: { request: api.StatsRequest, response: api.StatsResponse },
  Connect: { request: api.ConnectRequest, response: api.ConnectResponse },
  Shutdown: { request: api.ShutdownRequest, response: Empty },
} as const;

export type Task = ServiceClient<typeof TASK_METHODS>;
