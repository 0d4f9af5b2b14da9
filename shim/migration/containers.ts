/** The shim's containers as a migration sees them. */
import type { DestinationContainer, SourceContainer } from "../../runtime/migration/index.js";
import type { IncomingTask, MigratableContainer } from "../container/migratable.js";

export function sourceContainer(container: MigratableContainer): SourceContainer {
  const { id, namespace, bundle, runc } = container;
  return {
    id,
    namespace,
    bundle,
    runc,
    initPid: () => container.initPid(),
    cgroup: () => container.cgroup(),
    runningExecs: () => container.runningExecs(),
    expectGone: (exitStatus) => container.expectGone(exitStatus),
  };
}

export function destinationContainer(
  container: MigratableContainer,
  incoming: IncomingTask,
): DestinationContainer {
  const { id, namespace, bundle, runc } = container;
  return {
    id,
    namespace,
    bundle,
    runc,
    initPid: () => container.initPid(),
    cgroup: () => container.cgroup(),
    restoreStdio: (descriptors) => incoming.restoreStdio(descriptors),
    stdioHandedOver: () => incoming.stdioHandedOver(),
    adopt: (pid) => incoming.adopt(pid),
    failed: (reason) => incoming.failed(reason),
  };
}
