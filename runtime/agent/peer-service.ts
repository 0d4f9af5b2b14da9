/** What other agents may ask of this one: `pclive.peer.v1.Peer`, over mutual TLS. */
import type { ServerUnaryCall } from "@grpc/grpc-js";
import { receiveImage } from "./cache/receive.js";
import { taskState } from "./cache/task-state.js";
import { checkDestination } from "./check/destination.js";
import { ensureName } from "./config.js";
import type { Context } from "./context.js";
import type { Arrivals } from "./destination/arrivals.js";
import { checkVersion, DestinationSession } from "./destination/session.js";
import { onClientStream, onDuplex, onUnary, service } from "./grpc/method.js";
import { peerRpc } from "./grpc/services.js";
import { receiveBlob } from "./image/destination.js";
import { parseManifest, strategyName } from "./manifest.js";
import { requireCaller } from "./peer.js";
import { answerSettle } from "./settle.js";
import { arch, kernel, PROTOCOL, VERSION } from "./system.js";

export function peerService(context: Context, arrivals: Arrivals) {
  const version = {
    protocol: PROTOCOL,
    pclive: VERSION,
    arch: arch(),
    kernel: kernel(),
    host: context.config.host,
  };
  return service({
    check: onUnary(peerRpc.check, async (request, call) => {
      requireCaller(call as ServerUnaryCall<unknown, unknown>, ensureName(request.version?.host ?? ""));
      checkVersion(request.version ?? {});
      const strategy = strategyName.catch("pipelined").parse(request.strategy);
      const findings = await checkDestination(context, parseManifest(request.manifestJson), strategy);
      return { version, findings };
    }),
    migrate: onDuplex(peerRpc.migrate, (call) => new DestinationSession(context, arrivals, call).run()),
    putBlob: onClientStream(peerRpc.putBlob, (call) =>
      receiveBlob(call, (migration, digest) => arrivals.expectedBlob(migration, digest)),
    ),
    keep: onDuplex(peerRpc.keep, (call) => receiveImage(context, arrivals, call)),
    taskState: onUnary(peerRpc.taskState, (request, call) => {
      requireCaller(call as ServerUnaryCall<unknown, unknown>, ensureName(request.host));
      return taskState(context, request);
    }),
    settle: onUnary(peerRpc.settle, (request, call) =>
      answerSettle(context, arrivals, request, (host) =>
        requireCaller(call as ServerUnaryCall<unknown, unknown>, host),
      ),
    ),
  });
}
