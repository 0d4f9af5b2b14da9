import { HANDLER } from "./names.js";

/** For Kubernetes: pods with `runtimeClassName: pclive` run by the handler of that name. */
export const RUNTIME_CLASS = `apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: ${HANDLER}
handler: ${HANDLER}
`;
