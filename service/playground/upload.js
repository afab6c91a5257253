/** Upload: one file, from its first byte to the end of the job that stores it. */

import { counted } from "./figures.js";
import { Problem } from "./problem.js";
import { documentPath } from "./server.js";
import { send } from "./transfer.js";

const LINES = /\.(jsonl|ndjson)$/i;
const LOOK_MS = 2000;
const PATIENCE = 30; // looks at a job that were not answered, one after the other
const LONGEST_PAUSE_MS = 10_000;
const OPEN = new Set(["queued", "running"]);
const OUTCOMES = new Map([
  ["created", "added"],
  ["updated", "replaced"],
  ["unchanged", "already there"],
  ["superseded", "overtaken by a later write"],
  ["skipped", "empty"],
  ["failed", "not stored"],
]);
const SHOWN_ERRORS = 5;

/**
 * @typedef {object} Progress
 * @property {string} said in words
 * @property {number | null} share 0 to 1; null where nobody knows
 */

/**
 * @typedef {object} Ended
 * @property {string} said in words
 * @property {boolean} isStored something can be asked about
 * @property {string[]} errors
 */

/**
 * Store a file in a collection: as one document by its name, or a document for each line.
 *
 * @param {import("./server.js").Server} server
 * @param {string} collection
 * @param {File} file
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<Ended>}
 * @throws {Problem}
 */
export async function stored(server, collection, file, onProgress) {
  const sending = (/** @type {number} */ share) =>
    onProgress(share < 1 ? { said: `Sending, ${Math.floor(share * 100)} %`, share } : { said: "Sent", share: null });
  sending(0);
  const reply = await send(...request(server, collection, file), sending);
  const isBatch = "total" in reply; // which is always a job
  if (!isBatch && reply.status !== "accepted") {
    return { said: OUTCOMES.get(reply.status) ?? reply.status, isStored: true, errors: [] };
  }
  return followed(server, reply.job_id, onProgress);
}

/**
 * @param {import("./server.js").Server} server
 * @param {string} collection
 * @param {File} file
 * @returns {[URL, {method: string, headers: Record<string, string>, body: FormData | File}]}
 */
function request(server, collection, file) {
  if (LINES.test(file.name)) {
    const url = server.url(`v1/collections/${encodeURIComponent(collection)}/documents:batch?wait_ms=0`);
    return [url, { method: "POST", headers: { ...server.headers, "Content-Type": "application/x-ndjson" }, body: file }];
  }
  const body = new FormData();
  body.append("file", file, file.name);
  return [server.url(`${documentPath(collection, file.name)}?wait_ms=0`), { method: "PUT", headers: server.headers, body }];
}

/**
 * @param {import("./server.js").Server} server
 * @param {string} id
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<Ended>} also where nothing can be learned of it: the server has taken it, and it goes on
 */
async function followed(server, id, onProgress) {
  for (let failures = 0; ; ) {
    try {
      const job = await server.json(`v1/jobs/${encodeURIComponent(id)}?wait_ms=${LOOK_MS}`);
      if (!OPEN.has(job.status)) {
        return ended(job);
      }
      onProgress(progressOf(job));
      failures = 0;
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      failures += 1;
      if (!problem.isPassing || failures === PATIENCE) {
        const errors = [problem.message, problem.detail, `Job ${id} goes on all the same.`];
        return { said: "taken, and no more is known", isStored: false, errors };
      }
      await pause(Math.min(problem.retryAfterMs ?? LOOK_MS, LONGEST_PAUSE_MS));
    }
  }
}

/**
 * @param {any} job
 * @returns {Progress}
 */
function progressOf(job) {
  if (job.waits_for) {
    return { said: `Waiting: ${job.waits_for}`, share: null };
  }
  if (job.status === "queued") {
    return { said: "Waiting its turn", share: null };
  }
  return job.total > 1
    ? { said: `Reading, ${job.done} of ${job.total}`, share: job.done / job.total }
    : { said: "Reading", share: null };
}

/**
 * @param {any} job
 * @returns {Ended}
 */
function ended(job) {
  const places = [...OUTCOMES.keys()];
  const counts = Object.entries(job.outcomes).sort(([one], [other]) => places.indexOf(one) - places.indexOf(other));
  const errors = job.errors.map((/** @type {any} */ error) =>
    error.line === null ? error.message : `line ${error.line}: ${error.message}`,
  );
  const more = errors.length > SHOWN_ERRORS ? [`and ${counted(errors.length - SHOWN_ERRORS, "more error")}`] : [];
  const words = counts.map(([name, count]) => (job.total > 1 ? `${count} ${word(name)}` : word(name)));
  const isStored = counts.some(([name, count]) => name !== "failed" && name !== "skipped" && Number(count) > 0);
  return { said: words.join(", ") || job.status, isStored, errors: [...errors.slice(0, SHOWN_ERRORS), ...more] };
}

/** @param {string} outcome */
function word(outcome) {
  return OUTCOMES.get(outcome) ?? outcome;
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
