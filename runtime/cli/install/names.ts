/** What PCLive is called in the configuration of others. */
export const HANDLER = "pclive";
export const RUNTIME_TYPE = "io.containerd.pclive.v2";
export const SHIM = "containerd-shim-pclive-v2";
export const UNIT = "pclived.service";

/** Where containerd and Docker have their configuration unless told otherwise. */
export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";
export const DOCKER_CONFIG = "/etc/docker/daemon.json";

/** The record of what was done, by which `pclive uninstall` takes it back. */
export const MANIFEST = "/var/lib/pclive/install.json";
