/** The methods of containerd's API that only tests call. */
import { containerd, google } from "#protos/agent";
import { method } from "../../../runtime/agent/grpc/method.js";

const { Empty } = google.protobuf;
const tasks = containerd.services.tasks.v1;
const events = containerd.services.events.v1;
const base = "/containerd.services";

export const rpc = {
  exec: method(`${base}.tasks.v1.Tasks/Exec`, tasks.ExecProcessRequest, Empty),
  closeIo: method(`${base}.tasks.v1.Tasks/CloseIO`, tasks.CloseIORequest, Empty),
  checkpoint: method(
    `${base}.tasks.v1.Tasks/Checkpoint`,
    tasks.CheckpointTaskRequest,
    tasks.CheckpointTaskResponse,
  ),
  deleteProcess: method(
    `${base}.tasks.v1.Tasks/DeleteProcess`,
    tasks.DeleteProcessRequest,
    tasks.DeleteResponse,
  ),
  list: method(`${base}.tasks.v1.Tasks/List`, tasks.ListTasksRequest, tasks.ListTasksResponse),
  subscribe: method(`${base}.events.v1.Events/Subscribe`, events.SubscribeRequest, containerd.types.Envelope),
};
