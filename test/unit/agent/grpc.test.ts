/** What a method throws reaches its client, of whatever kind the method is. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials, Server, ServerCredentials, type ServiceError, status } from "@grpc/grpc-js";
import { pclive } from "#protos/agent";
import { AgentError } from "../../../runtime/agent/errors.js";
import {
  duplex,
  method,
  onDuplex,
  onServerStream,
  serverStream,
  service,
} from "../../../runtime/agent/grpc/method.js";

const api = pclive.agent.v1;
const many = method("/test.Service/Many", api.CancelRequest, api.CancelReply);
const both = method("/test.Service/Both", api.CancelRequest, api.CancelReply);

describe("a stream whose handler throws", () => {
  const folder = mkdtempSync(join(tmpdir(), "pclive-grpc-"));
  const address = `unix://${join(folder, "socket")}`;
  const server = new Server();
  let client: Client;
  const refuse = async () => {
    throw new AgentError("USAGE", "that makes no sense", { remedy: "say something else" });
  };

  before(async () => {
    const { definitions, implementations } = service({
      many: onServerStream(many, refuse),
      both: onDuplex(both, refuse),
    });
    server.addService(definitions, implementations);
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      ),
    );
    client = new Client(address, credentials.createInsecure());
  });
  after(() => {
    client.close();
    server.forceShutdown();
    rmSync(folder, { recursive: true });
  });

  const streams = {
    "with many answers": () => serverStream(client, many, {}, { timeoutMs: 5000 }),
    "in both directions": () => duplex(client, both, { timeoutMs: 5000 }),
  };
  for (const [kind, open] of Object.entries(streams)) {
    it(`ends with its error, ${kind}`, async () => {
      const stream = open();
      const error = await new Promise<Partial<ServiceError>>((resolve) =>
        stream.on("error", (thrown: Partial<ServiceError>) => resolve(thrown)).resume(),
      );
      assert.equal(error.code, status.INVALID_ARGUMENT);
      assert.match(error.details ?? "", /that makes no sense/);
    });
  }
});
