/** The methods of our own services. */
import { pclive } from "#protos/agent";
import { method } from "./method.js";

const peer = pclive.peer.v1;
const agent = pclive.agent.v1;

/** Between agents. */
export const peerRpc = {
  check: method("/pclive.peer.v1.Peer/Check", peer.CheckRequest, peer.CheckReply),
  migrate: method("/pclive.peer.v1.Peer/Migrate", peer.ToDestination, peer.ToSource),
  putBlob: method("/pclive.peer.v1.Peer/PutBlob", peer.BlobChunk, peer.PutBlobReply),
  settle: method("/pclive.peer.v1.Peer/Settle", peer.SettleRequest, peer.SettleReply),
  keep: method("/pclive.peer.v1.Peer/Keep", peer.ToCache, peer.FromCache),
  taskState: method("/pclive.peer.v1.Peer/TaskState", peer.TaskStateRequest, peer.TaskStateReply),
};

/** From the command line. */
export const agentRpc = {
  migrate: method("/pclive.agent.v1.Agent/Migrate", agent.MigrateRequest, agent.MigrateEvent),
  check: method("/pclive.agent.v1.Agent/Check", agent.CheckRequest, agent.CheckReport),
  status: method("/pclive.agent.v1.Agent/Status", agent.StatusRequest, agent.StatusReport),
  cancel: method("/pclive.agent.v1.Agent/Cancel", agent.CancelRequest, agent.CancelReply),
  checkpoint: method("/pclive.agent.v1.Agent/Checkpoint", agent.CheckpointRequest, agent.CheckpointEvent),
  dirtyRate: method("/pclive.agent.v1.Agent/DirtyRate", agent.DirtyRateRequest, agent.DirtyRateEvent),
  restore: method("/pclive.agent.v1.Agent/Restore", agent.RestoreRequest, agent.RestoreReport),
  protect: method("/pclive.agent.v1.Agent/Protect", agent.ProtectRequest, agent.Protection),
  unprotect: method("/pclive.agent.v1.Agent/Unprotect", agent.UnprotectRequest, agent.Protection),
  protections: method("/pclive.agent.v1.Agent/Protections", agent.ProtectionsRequest, agent.ProtectionList),
  failover: method("/pclive.agent.v1.Agent/Failover", agent.FailoverRequest, agent.RestoreReport),
  images: method("/pclive.agent.v1.Agent/Images", agent.ImagesRequest, agent.ImageList),
  removeImage: method("/pclive.agent.v1.Agent/RemoveImage", agent.RemoveImageRequest, agent.CachedImage),
};
