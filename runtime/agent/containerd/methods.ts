/** The methods of containerd's gRPC API that the agent calls. */
import { containerd, google } from "#protos/agent";
import { method } from "../grpc/method.js";

const { Empty } = google.protobuf;
const base = "/containerd.services";
const containers = containerd.services.containers.v1;
const tasks = containerd.services.tasks.v1;
const images = containerd.services.images.v1;
const content = containerd.services.content.v1;
const snapshots = containerd.services.snapshots.v1;
const diff = containerd.services.diff.v1;
const leases = containerd.services.leases.v1;
const namespaces = containerd.services.namespaces.v1;

export const rpc = {
  containers: {
    get: method(
      `${base}.containers.v1.Containers/Get`,
      containers.GetContainerRequest,
      containers.GetContainerResponse,
    ),
    list: method(
      `${base}.containers.v1.Containers/List`,
      containers.ListContainersRequest,
      containers.ListContainersResponse,
    ),
    create: method(
      `${base}.containers.v1.Containers/Create`,
      containers.CreateContainerRequest,
      containers.CreateContainerResponse,
    ),
    delete: method(`${base}.containers.v1.Containers/Delete`, containers.DeleteContainerRequest, Empty),
  },
  tasks: {
    create: method(`${base}.tasks.v1.Tasks/Create`, tasks.CreateTaskRequest, tasks.CreateTaskResponse),
    start: method(`${base}.tasks.v1.Tasks/Start`, tasks.StartRequest, tasks.StartResponse),
    get: method(`${base}.tasks.v1.Tasks/Get`, tasks.GetRequest, tasks.GetResponse),
    kill: method(`${base}.tasks.v1.Tasks/Kill`, tasks.KillRequest, Empty),
    pause: method(`${base}.tasks.v1.Tasks/Pause`, tasks.PauseTaskRequest, Empty),
    resume: method(`${base}.tasks.v1.Tasks/Resume`, tasks.ResumeTaskRequest, Empty),
    delete: method(`${base}.tasks.v1.Tasks/Delete`, tasks.DeleteTaskRequest, tasks.DeleteResponse),
    wait: method(`${base}.tasks.v1.Tasks/Wait`, tasks.WaitRequest, tasks.WaitResponse),
    listPids: method(`${base}.tasks.v1.Tasks/ListPids`, tasks.ListPidsRequest, tasks.ListPidsResponse),
  },
  images: {
    get: method(`${base}.images.v1.Images/Get`, images.GetImageRequest, images.GetImageResponse),
    create: method(`${base}.images.v1.Images/Create`, images.CreateImageRequest, images.CreateImageResponse),
  },
  content: {
    info: method(`${base}.content.v1.Content/Info`, content.InfoRequest, content.InfoResponse),
    update: method(`${base}.content.v1.Content/Update`, content.UpdateRequest, content.UpdateResponse),
    read: method(`${base}.content.v1.Content/Read`, content.ReadContentRequest, content.ReadContentResponse),
    write: method(
      `${base}.content.v1.Content/Write`,
      content.WriteContentRequest,
      content.WriteContentResponse,
    ),
    abort: method(`${base}.content.v1.Content/Abort`, content.AbortRequest, Empty),
  },
  snapshots: {
    prepare: method(
      `${base}.snapshots.v1.Snapshots/Prepare`,
      snapshots.PrepareSnapshotRequest,
      snapshots.PrepareSnapshotResponse,
    ),
    mounts: method(
      `${base}.snapshots.v1.Snapshots/Mounts`,
      snapshots.MountsRequest,
      snapshots.MountsResponse,
    ),
    commit: method(`${base}.snapshots.v1.Snapshots/Commit`, snapshots.CommitSnapshotRequest, Empty),
    remove: method(`${base}.snapshots.v1.Snapshots/Remove`, snapshots.RemoveSnapshotRequest, Empty),
    stat: method(
      `${base}.snapshots.v1.Snapshots/Stat`,
      snapshots.StatSnapshotRequest,
      snapshots.StatSnapshotResponse,
    ),
  },
  diff: { apply: method(`${base}.diff.v1.Diff/Apply`, diff.ApplyRequest, diff.ApplyResponse) },
  leases: {
    create: method(`${base}.leases.v1.Leases/Create`, leases.CreateRequest, leases.CreateResponse),
    delete: method(`${base}.leases.v1.Leases/Delete`, leases.DeleteRequest, Empty),
  },
  namespaces: {
    get: method(
      `${base}.namespaces.v1.Namespaces/Get`,
      namespaces.GetNamespaceRequest,
      namespaces.GetNamespaceResponse,
    ),
    list: method(
      `${base}.namespaces.v1.Namespaces/List`,
      namespaces.ListNamespacesRequest,
      namespaces.ListNamespacesResponse,
    ),
    create: method(
      `${base}.namespaces.v1.Namespaces/Create`,
      namespaces.CreateNamespaceRequest,
      namespaces.CreateNamespaceResponse,
    ),
  },
};
