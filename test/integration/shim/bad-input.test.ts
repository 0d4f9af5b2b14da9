/** What an operator gets wrong: a clear reason, nothing left mounted, no event, and the shim goes on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import { TtrpcError } from "#ttrpc";
import { ShimBench, until } from "./bundle.js";

const { Options } = containerd.runc.v1;
type Request = containerd.task.v2.CreateTaskRequest.$Properties;
type Mounts = containerd.types.Mount.$Properties[];

const runcOptions = (options: containerd.runc.v1.Options.$Properties) => ({
  type_url: "containerd.runc.v1.Options",
  value: Options.encode(options).finish(),
});

describe("bad input", function () {
  this.timeout(30_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());

  /** A Create that must fail; the container can be made by the same shim afterwards. */
  async function refused(
    reason: RegExp,
    request: (bundle: string) => Request,
    spoil: (bundle: string) => void = () => {},
  ): Promise<void> {
    bench.events.splice(0);
    const { id, bundle } = bench.makeBundle(["/bin/sleep", "100"]);
    const { task, address } = await bench.start(id, bundle);
    spoil(bundle);
    const made = task.Create({ id, bundle, rootfs: bench.rootfs(), ...request(bundle) });
    await assert.rejects(made, (error: unknown) => {
      assert.ok(error instanceof TtrpcError);
      assert.match(error.message, reason);
      return true;
    });
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(bundle), "a mount is left");
    assert.deepEqual(bench.topics(), []);
    await assert.rejects(task.State({ id }), /container not created/);
    const { status } = bench.run("delete", id, bundle);
    assert.equal(status, 0);
    await task.Shutdown({ id });
    await until(() => !existsSync(address.replace("unix://", "")));
  }

  const config = (bundle: string) => join(bundle, "config.json");
  const nothing = () => ({});

  it("a config.json that is missing, no JSON, or nested beyond reason: in the words of runC", async () => {
    await refused(/config\.json not found/, nothing, (bundle) => rmSync(config(bundle)));
    await refused(/OCI runtime create failed: .*invalid character/, nothing, (bundle) =>
      writeFileSync(config(bundle), "{ not json"),
    );
    await refused(/OCI runtime create failed/, nothing, (bundle) => writeFileSync(config(bundle), "null"));
    await refused(/OCI runtime create failed/, nothing, (bundle) =>
      writeFileSync(config(bundle), `{"process":${"[".repeat(200_000)}${"]".repeat(200_000)}}`),
    );
  });

  it("a config.json that is longer than any, or a pipe: neither is read", () => {
    const spoilt = (spoil: (path: string) => void): string => {
      const { id, bundle } = bench.makeBundle(["/bin/true"]);
      spoil(config(bundle));
      const { stderr, status } = bench.run("start", id, bundle);
      assert.notEqual(status, 0);
      return stderr;
    };
    assert.match(
      spoilt((path) => truncateSync(path, 17 << 20)),
      /config\.json cannot be read: it is longer than 16777216 bytes/,
    );
    const pipe = spoilt((path) => {
      rmSync(path);
      execFileSync("mkfifo", [path]);
    });
    assert.match(pipe, /config\.json cannot be read: it is not a regular file/);
  });

  it("a bundle that is not there at all", () => {
    const { stderr, status } = bench.run("start", "none", bench.folder);
    assert.notEqual(status, 0);
    assert.match(stderr, /config\.json: missing/);
  });

  it("mounts that fail, by name and errno; those before them are undone", async () => {
    const then = (mount: Mounts[number]) => () => ({ rootfs: [...bench.rootfs(), mount] });
    const failed = (what: string) => new RegExp(`failed to mount rootfs component \\(${what}`);
    await refused(
      failed("nosuchfs here a=b\\): ENODEV"),
      then({ type: "nosuchfs", source: "here", options: ["a=b"] }),
    );
    await refused(
      failed("bind /no/such rbind\\): ENOENT"),
      then({ type: "bind", source: "/no/such", options: ["rbind"] }),
    );
    await refused(
      failed("overlay overlay .*\\): E"),
      then({ type: "overlay", source: "overlay", options: ["lowerdir=/no/such"] }),
    );
    await refused(
      /'X-containerd\.mkdir=1' is not supported/,
      then({ type: "bind", source: "/", options: ["X-containerd.mkdir=1"] }),
    );
    await refused(
      /not of the form CONTAINER:HOST:SIZE/,
      then({ type: "bind", source: "/", options: ["bind", "uidmap=0", "gidmap=0"] }),
    );
    await refused(
      /mount\.fuse3 (failed|cannot)/,
      then({ type: "fuse3.no-such-file-system", source: "x", options: [] }),
    );
  });

  it("a runC that is missing, not executable, too old, or dies without a word", async () => {
    const binary =
      (text: string | undefined, mode = 0o755) =>
      (bundle: string) => {
        const binaryName = join(bundle, "my-runc");
        if (text !== undefined) writeFileSync(binaryName, text);
        if (text !== undefined) chmodSync(binaryName, mode);
        return { options: runcOptions({ binaryName }) };
      };
    await refused(
      /OCI runtime create failed: .*my-runc cannot be run: executable file not found/,
      binary(undefined),
    );
    await refused(/my-runc cannot be run: it is not executable/, binary("x", 0o644));
    const old = `#!/bin/sh
[ "$1" != --version ] && case " $* " in *" --version "*) ;; *) echo '{"level":"error","msg":"flag provided but not defined: -x"}' >>"$4"; exit 1 ;; esac
echo 'runc version 1.0.0~rc93'`;
    await refused(/flag provided but not defined: -x \(runc 1\.0\.0~rc93\)/, binary(old));
    await refused(
      /OCI runtime create failed: runc create ended with status 3/,
      binary("#!/bin/sh\nexit 3\n"),
    );
    await refused(/runc create ended with status 137/, binary("#!/bin/sh\nkill -KILL $$\n"));
    await refused(/runC has written no pid/, binary("#!/bin/sh\nexit 0\n"));
  });

  it("options that mean nothing", async () => {
    const damaged = { type_url: "containerd.runc.v1.Options", value: new Uint8Array([0xff, 0xff]) };
    await refused(/cannot be decoded/, () => ({ options: damaged }));
  });

  it("follows a link to config.json, as the stock shim does; runC refuses one as root", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/sh", "-c", "exit 4"]);
    const elsewhere = join(bench.folder, "elsewhere");
    renameSync(config(bundle), `${elsewhere}.json`);
    symlinkSync(`${elsewhere}.json`, config(bundle));
    const { task } = await bench.start(id, bundle);
    await task.Create({ id, bundle, rootfs: bench.rootfs() });
    await task.Start({ id });
    assert.equal((await task.Wait({ id })).exitStatus, 4);
    await task.Delete({ id });
    await task.Shutdown({ id });
    mkdirSync(elsewhere);
    await refused(/invalid rootfs/, nothing, (other) => symlinkSync(elsewhere, join(other, "rootfs")));
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(elsewhere));
  });
});
