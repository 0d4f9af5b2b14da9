import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { containerd as bootstrap } from "#protos/bootstrap";
import { containerd, google, pclive, runtimeoptions } from "#protos/shim";
import { DEFAULT_OPTIONS, optionsFromJson, optionsToJson } from "../../../shim/bundle/options.js";
import { parseBootstrap } from "../../../shim/cli/bootstrap.js";
import { parseFlags } from "../../../shim/cli/flags.js";
import { ShimError } from "../../../shim/errors.js";
import { checkpointRequest, jsonOf, taskOptions } from "../../../shim/service/requests.js";
import { anyOf } from "../../../shim/wire.js";

const { Options } = containerd.runc.v1;
const RUNC = "containerd.runc.v1.Options";
const invalid = (error: unknown) => error instanceof ShimError && error.code === "INVALID_ARGUMENT";

describe("task options", () => {
  it("are the defaults when absent", async () => {
    assert.deepEqual(await taskOptions(null), { runtime: DEFAULT_OPTIONS, migration: undefined });
  });

  it("are runC's, with any prefix of the type's name", async () => {
    const any = anyOf(RUNC, Options, { root: "/r", systemdCgroup: true });
    for (const type_url of [RUNC, `type.googleapis.com/${RUNC}`]) {
      const { runtime } = await taskOptions({ ...any, type_url });
      assert.deepEqual(runtime, { ...DEFAULT_OPTIONS, root: "/r", systemdCgroup: true });
    }
  });

  it("may announce a migration, with the container's own options inside", async () => {
    const inner = Options.encode({ binaryName: "crun" }).finish();
    const withMigration = (migration: string) => ({
      type_url: RUNC,
      value: Buffer.concat([inner, pclive.shim.v1.IncomingOptions.encode({ migration }).finish()]),
    });
    const options = await taskOptions(withMigration("0".repeat(32)));
    assert.equal(options.migration, "0".repeat(32));
    assert.equal(options.runtime.binaryName, "crun");
    const bad = withMigration("../x");
    await assert.rejects(taskOptions(bad), invalid);
  });

  it("are the defaults when they are another runtime's", async () => {
    assert.deepEqual((await taskOptions({ type_url: "other.Options" })).runtime, DEFAULT_OPTIONS);
  });

  it("are refused when damaged", async () => {
    await assert.rejects(taskOptions({ type_url: RUNC, value: Buffer.from([0xff, 0xff]) }), ShimError);
  });

  it("may be TOML, for clients that know the runtime only by name", async () => {
    const named = async (message: runtimeoptions.v1.Options.$Properties) =>
      (await taskOptions(anyOf("runtimeoptions.v1.Options", runtimeoptions.v1.Options, message))).runtime;
    const body = (text: string) => named({ configBody: Buffer.from(text) });
    const wanted = { ...DEFAULT_OPTIONS, systemdCgroup: true, binaryName: "/opt/runc", ioUid: 7 };
    const text =
      "# ours\nBinaryName = '/opt/runc'\nIoUid = 7\nsystemd_cgroup = true\nCriuPath = \"\"\n[more]\nx = 1\n";
    assert.deepEqual(await body(text), wanted);
    assert.deepEqual(await body(""), DEFAULT_OPTIONS);
    const folder = mkdtempSync(join(tmpdir(), "options-"));
    writeFileSync(join(folder, "o.toml"), text);
    assert.deepEqual(
      await named({ configPath: join(folder, "o.toml"), configBody: Buffer.from("x") }),
      wanted,
    );
    rmSync(folder, { recursive: true });
    await assert.rejects(named({ configPath: join(folder, "o.toml") }), /o\.toml cannot be read: ENOENT/);
    await assert.rejects(named({ configPath: "o.toml" }), /not absolute/);
    for (const wrong of ["SystemdCgroup = 1", "IoUid = -1", "IoGid = 1.5", "Root = true", "=", "a = [[["]) {
      await assert.rejects(body(wrong), invalid, wrong);
    }
  });

  it("survive options.json", () => {
    const options = { ...DEFAULT_OPTIONS, root: "/r", ioUid: 5, noPivotRoot: true };
    assert.deepEqual(optionsToJson(options), { root: "/r", io_uid: 5, no_pivot_root: true });
    assert.deepEqual(optionsFromJson(JSON.parse(JSON.stringify(optionsToJson(options)))), options);
    assert.deepEqual(optionsFromJson({ root: 7, io_uid: "x", more: 1 }), DEFAULT_OPTIONS);
  });
});

describe("other requests", () => {
  it("let a checkpointed task go on unless told otherwise", () => {
    assert.equal(checkpointRequest("/c", null).exit, false);
    const any = anyOf("containerd.runc.v1.CheckpointOptions", containerd.runc.v1.CheckpointOptions, {
      exit: true,
    });
    assert.equal(checkpointRequest("/c", any).exit, true);
  });

  it("need their JSON", () => {
    assert.throws(() => jsonOf(null, "process"), invalid);
    assert.equal(jsonOf({ value: Buffer.from("{}") }, "process"), "{}");
  });
});

describe("bootstrap", () => {
  const flags = parseFlags(["-namespace", "default", "-id", "a", "start"]);

  it("takes nothing, options, and parameters for what they are", () => {
    const options = anyOf(RUNC, Options, { shimCgroup: "/shims" });
    const bare = google.protobuf.Any.encode(options).finish();
    const { BootstrapParams } = bootstrap.runtime.bootstrap.v1;
    const params = {
      instanceId: "a",
      namespace: "default",
      logLevel: -4,
      socketDir: "/s",
      extensions: [{ value: options }],
    };
    assert.deepEqual(parseBootstrap(new Uint8Array(), flags), {
      answer: "address",
      shimCgroup: "",
      debug: false,
      socketDir: undefined,
    });
    assert.deepEqual(parseBootstrap(bare, flags), {
      answer: "address",
      shimCgroup: "/shims",
      debug: false,
      socketDir: undefined,
    });
    assert.deepEqual(parseBootstrap(BootstrapParams.encode(params).finish(), flags), {
      answer: "message",
      shimCgroup: "/shims",
      debug: true,
      socketDir: "/s",
    });
  });

  it("does not fall for parameters of somebody else", () => {
    const { BootstrapParams } = bootstrap.runtime.bootstrap.v1;
    const other = BootstrapParams.encode({ instanceId: "b", namespace: "default", socketDir: "/s" }).finish();
    assert.equal(parseBootstrap(other, flags).socketDir, undefined);
  });
});
