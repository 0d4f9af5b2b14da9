/** A root file system of nothing but busybox. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";

export function makeRootfs(folder: string): void {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  cpSync("/bin/busybox", join(bin, "busybox"));
  for (const name of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n")) {
    if (name !== "busybox") symlinkSync("busybox", join(bin, name));
  }
  for (const name of ["tmp", "proc", "sys", "dev", "etc"]) mkdirSync(join(folder, name));
}
