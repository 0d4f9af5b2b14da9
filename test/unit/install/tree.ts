/** A small system in a temporary folder: the shim, configuration, and nothing that runs. */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { CliError } from "../../../runtime/cli/exit.js";
import { addInstall, addUninstall } from "../../../runtime/cli/install/command.js";

export interface Outcome {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export class Tree {
  readonly root = mkdtempSync(join(tmpdir(), "pclive-install-"));

  constructor(files: Readonly<Record<string, string>> = {}) {
    this.write("/usr/bin/containerd-shim-pclive-v2", "the shim\n");
    this.write("/etc/containerd/keep", "");
    this.write("/etc/docker/keep", "");
    for (const [path, text] of Object.entries(files)) this.write(path, text);
  }

  path(path: string): string {
    return join(this.root, path);
  }

  read(path: string): string {
    return readFileSync(this.path(path), "utf8");
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), text);
  }

  /** Runs the command on this tree, as a user does. */
  async run(...words: string[]): Promise<Outcome> {
    let out = "";
    const take = (text: string) => {
      out += text;
    };
    const program = new Command("pclive");
    addInstall(program, "0.1.0", take);
    addUninstall(program, take);
    try {
      await program.parseAsync([...words, "--root", this.root], { from: "user" });
      return { status: 0, out, err: "" };
    } catch (error) {
      if (error instanceof CliError) return { status: error.exitCode, out, err: error.render() };
      throw error;
    }
  }

  /** Everything there is: path to mode, owner and content. */
  snapshot(): Record<string, string> {
    const all: Record<string, string> = {};
    for (const name of readdirSync(this.root, { recursive: true, encoding: "utf8" }).sort()) {
      const stat = lstatSync(this.path(name));
      const kind = stat.isSymbolicLink()
        ? `-> ${readlinkSync(this.path(name))}`
        : stat.isFile()
          ? this.read(name)
          : "/";
      all[name] = `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid} ${kind}`;
    }
    return all;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
