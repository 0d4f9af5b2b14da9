/** Status codes, the same as gRPC's. */
export const Code = {
  OK: 0,
  CANCELED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** One of {@link Code}; a peer may send numbers that we have no name for. */
export type Code = number;

/** More about an error, as a packed message (google.protobuf.Any). */
export interface StatusDetail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** The outcome of a call that failed. A handler throws it to choose the code that its caller sees. */
export class TtrpcError extends Error {
  override readonly name = "TtrpcError";
  /** travels with the status */
  readonly details: readonly StatusDetail[];

  constructor(
    readonly code: Code,
    message: string,
    options?: ErrorOptions & { readonly details?: readonly StatusDetail[] },
  ) {
    super(message, options);
    this.details = options?.details ?? [];
  }

  /** Whatever was thrown, as a TtrpcError: foreign errors become UNKNOWN with their message. */
  static from(thrown: unknown): TtrpcError {
    if (thrown instanceof TtrpcError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new TtrpcError(Code.UNKNOWN, message, { cause: thrown });
  }
}
