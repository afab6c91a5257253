/** Problems: what went wrong, in words. */

const WORDS = new Map([
  [400, "The server does not take this."],
  [401, "This server asks for a key."],
  [403, "This is not allowed."],
  [404, "This is not there."],
  [408, "It took too long to arrive."],
  [409, "Something is in the way."],
  [413, "This is too large."],
  [415, "This kind of file is not read."],
  [421, "The server does not go by this name."],
  [422, "The server does not take this."],
  [429, "The key's limit is used up."],
  [500, "The server failed."],
  [502, "The language model's server gave no proper reply."],
  [503, "The server cannot do this at the moment."],
  [504, "There was not enough time."],
]);
const UNAUTHENTICATED = 401;
const FAILED = 500; // and above
const PASSING = new Set([0, 502, 503, 504]); // nobody replied, or a proxy to whom nobody did
const MS_IN_S = 1000;

/**
 * A request that brought nothing.
 *
 * `message` says it in one sentence, `detail` in the server's words.
 */
export class Problem extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, detail?: string, requestId?: string, retryAfterMs?: number | null, isOutdated?: boolean}} [known]
   */
  constructor(message, { status = 0, detail = "", requestId = "", retryAfterMs = null, isOutdated = false } = {}) {
    super(message);
    this.status = status;
    this.detail = detail;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
    this.isOutdated = isOutdated;
  }

  /**
   * Of a reply that is no success.
   *
   * @param {number} status
   * @param {string} body problem+json, or whatever stands before the server sent
   * @param {(name: string) => string | null} header
   * @param {boolean} wasKeyShown by the request
   */
  static of(status, body, header, wasKeyShown) {
    const told = parsed(body);
    if (told === null && status >= FAILED) {
      const detail = "Does the server run?";
      return new Problem(`Something before the server replied with ${status}.`, { status, detail });
    }
    const isRefusedKey = status === UNAUTHENTICATED && wasKeyShown;
    const isAskedForKey = status === UNAUTHENTICATED && !wasKeyShown; // with words for programs, which write headers
    const message = WORDS.get(status) ?? `The server replied with ${status}.`;
    const after = Number(header("retry-after-ms") ?? Number(header("retry-after") ?? NaN) * MS_IN_S);
    return new Problem(isRefusedKey ? "The server does not take this key." : message, {
      status,
      detail: isAskedForKey ? "" : (told?.detail ?? ""),
      requestId: told?.request_id ?? header("x-request-id") ?? "",
      retryAfterMs: Number.isFinite(after) ? after : null,
    });
  }

  /**
   * Of the event that ends a stream.
   *
   * @param {{status: number, detail: string, request_id: string}} told
   */
  static ofEvent(told) {
    const { status, detail, request_id: requestId } = told;
    return new Problem(WORDS.get(status) ?? "The answer failed.", { status, detail, requestId });
  }

  /** Nobody replied. */
  static unreachable() {
    return new Problem("The server cannot be reached.", { detail: "Is it running, and are you on its network?" });
  }

  /** A reply that is no server's of this kind. */
  static foreign() {
    return new Problem("The server did not reply itself.", { detail: "Has a login ended? Load the page again." });
  }

  /** A reply to a key that is no longer used. */
  static outdated() {
    return new Problem("The key has changed since.", { isOutdated: true });
  }

  /** A stream that ended before its end. */
  static brokenOff() {
    const detail = "The connection ended before the answer did. What came of it may be incomplete.";
    return new Problem("The answer broke off.", { detail });
  }

  /** The same request may do better in a moment. */
  get isPassing() {
    return this.retryAfterMs !== null || PASSING.has(this.status);
  }

  /** When to ask again, as a sentence; empty where the server does not say. */
  get again() {
    if (this.retryAfterMs === null) {
      return "";
    }
    return `Try again in ${Math.max(1, Math.ceil(this.retryAfterMs / MS_IN_S))} s.`;
  }
}

/**
 * @param {string} body
 * @returns {{detail: string, request_id?: string} | null} null of what is none of the server's problems, as a proxy's page
 */
function parsed(body) {
  try {
    const value = JSON.parse(body);
    return typeof value?.detail === "string" ? value : null;
  } catch {
    return null;
  }
}
