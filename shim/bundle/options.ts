/** The runtime options of a task (containerd.runc.v1.Options), as far as we use them. */

export interface RuntimeOptions {
  /** Empty: `runc` from the PATH. */
  readonly binaryName: string;
  /** Parent of the namespaces' state folders; empty: the default. */
  readonly root: string;
  readonly systemdCgroup: boolean;
  readonly noPivotRoot: boolean;
  readonly noNewKeyring: boolean;
  readonly shimCgroup: string;
  /** Owner of the stdio pipes. */
  readonly ioUid: number;
  readonly ioGid: number;
  readonly criuImagePath: string;
  readonly criuWorkPath: string;
}

export const DEFAULT_OPTIONS: RuntimeOptions = {
  binaryName: "",
  root: "",
  systemdCgroup: false,
  noPivotRoot: false,
  noNewKeyring: false,
  shimCgroup: "",
  ioUid: 0,
  ioGid: 0,
  criuImagePath: "",
  criuWorkPath: "",
};

/** Names of the file `options.json` as the runc shim writes them; unset fields are left out. */
const JSON_NAMES: Record<keyof RuntimeOptions, string> = {
  binaryName: "binary_name",
  root: "root",
  systemdCgroup: "systemd_cgroup",
  noPivotRoot: "no_pivot_root",
  noNewKeyring: "no_new_keyring",
  shimCgroup: "shim_cgroup",
  ioUid: "io_uid",
  ioGid: "io_gid",
  criuImagePath: "criu_image_path",
  criuWorkPath: "criu_work_path",
};

const KEYS = Object.keys(JSON_NAMES) as (keyof RuntimeOptions)[];

export function optionsToJson(options: RuntimeOptions): Record<string, unknown> {
  const set = KEYS.filter((key) => options[key] !== DEFAULT_OPTIONS[key]);
  return Object.fromEntries(set.map((key) => [JSON_NAMES[key], options[key]]));
}

/** Fields that are missing or of another type have their default. */
export function optionsFromJson(value: unknown): RuntimeOptions {
  const record = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  const known = KEYS.map((key) => [key, record[JSON_NAMES[key]]] as const);
  const usable = known.filter(([key, field]) => typeof field === typeof DEFAULT_OPTIONS[key]);
  return { ...DEFAULT_OPTIONS, ...Object.fromEntries(usable) };
}
