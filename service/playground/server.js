/** Server: every request of the page, with the key where there is one. */

import { eventsOf } from "./event_stream.js";
import { Problem } from "./problem.js";

/** @typedef {{method?: string, json?: unknown, signal?: AbortSignal}} Asked */

export class Server {
  // In this object and nowhere else: what a browser stores for a tab it also writes to the disk.
  #key = "";
  #base;

  /** @param {string} base address of the page: all others are relative to it, so that a proxy may put any path before */
  constructor(base) {
    this.#base = base;
  }

  /** @param {string} key empty forgets the one before */
  useKey(key) {
    this.#key = key;
  }

  get hasKey() {
    return this.#key !== "";
  }

  /** @param {string} path relative, such as "v1/query" */
  url(path) {
    return new URL(path, this.#base);
  }

  /** @returns {Record<string, string>} the headers that show the key */
  get headers() {
    return this.hasKey ? { Authorization: `Bearer ${this.#key}` } : {};
  }

  /**
   * The reply, as JSON. One to a key that is no longer used is none: others may look at the page now.
   *
   * @param {string} path
   * @param {Asked} [asked]
   * @returns {Promise<any>}
   * @throws {Problem}
   */
  async json(path, asked = {}) {
    const key = this.#key;
    const reading = this.#read(path, asked);
    await reading.catch(() => {}); // thrown below
    if (key !== this.#key) {
      throw Problem.outdated();
    }
    return reading;
  }

  /**
   * @param {string} path
   * @param {Asked} asked
   * @returns {Promise<any>}
   */
  async #read(path, asked) {
    const reply = await this.#sent(path, asked);
    try {
      return await reply.json();
    } catch (error) {
      if (asked.signal?.aborted) {
        throw error;
      }
      throw error instanceof SyntaxError ? Problem.foreign() : Problem.unreachable(); // it hung up in the middle
    }
  }

  /**
   * The events of a reply that is streamed.
   *
   * @param {string} path
   * @param {Asked} asked
   * @throws {Problem} the stream did not begin, or broke
   */
  async *events(path, asked) {
    const reply = await this.#sent(path, asked);
    try {
      yield* eventsOf(/** @type {ReadableStream<Uint8Array>} */ (reply.body));
    } catch (error) {
      throw asked.signal?.aborted ? error : Problem.brokenOff();
    }
  }

  /**
   * @param {string} path
   * @param {Asked} asked
   */
  async #sent(path, { method = "GET", json, signal }) {
    const content = json === undefined ? {} : { "Content-Type": "application/json" };
    const wasKeyShown = this.hasKey;
    let reply;
    try {
      reply = await fetch(this.url(path), {
        method,
        headers: { ...this.headers, ...content },
        body: json === undefined ? undefined : JSON.stringify(json),
        signal,
        credentials: "same-origin", // a proxy that logs users in has cookies; the server reads none
      });
    } catch (error) {
      throw signal?.aborted ? error : Problem.unreachable();
    }
    if (!reply.ok) {
      const body = await reply.text().catch(() => ""); // it hung up in the middle
      throw Problem.of(reply.status, body, (name) => reply.headers.get(name), wasKeyShown);
    }
    return reply;
  }
}

/**
 * @param {string} collection
 * @param {string} id
 * @returns {string} relative address of a document
 */
export function documentPath(collection, id) {
  return `v1/collections/${encodeURIComponent(collection)}/documents/${encodeURIComponent(id)}`;
}
