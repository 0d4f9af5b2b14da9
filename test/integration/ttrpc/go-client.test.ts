import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "#ttrpc";
import { METHODS, play, SERVICE, scenarios } from "./peer.js";

// The scenarios' names make the tests, so the program is built while the tests are collected.
const names = scenarios();

describe("Go's ttrpc client and our server", () => {
  const folder = mkdtempSync(join(tmpdir(), "ttrpc-go-"));
  const path = join(folder, "s");
  const server = new Server();

  before(async () => {
    server.addService(SERVICE, METHODS);
    await server.listen({ path });
  });

  after(async () => {
    await server.close(100);
    rmSync(folder, { recursive: true });
  });

  for (const name of names) it(name, () => play(path, name));
});
