/** StatusWatch: looks at /v1/status now and then, as long as the key may and somebody looks at the page. */

import { Problem } from "./problem.js";

const EVERY_MS = 10_000;
const NOT_ALLOWED = new Set([401, 403]);

export class StatusWatch {
  #server;
  #onStatus;
  #onProblem;
  #isOff = false;

  /**
   * @param {import("./server.js").Server} server
   * @param {(status: any) => void} onStatus
   * @param {(problem: Problem) => void} onProblem
   */
  constructor(server, onStatus, onProblem) {
    this.#server = server;
    this.#onStatus = onStatus;
    this.#onProblem = onProblem;
    setInterval(() => document.hidden || this.#isOff || this.refresh(), EVERY_MS);
  }

  /** Look at once; a key that may not is asked about no more until this is called again. */
  async refresh() {
    let status;
    try {
      status = await this.#server.json("v1/status", { signal: AbortSignal.timeout(EVERY_MS) });
    } catch (error) {
      if (error instanceof Problem && error.isOutdated) {
        return; // whoever changed the key has it looked at again
      }
      const problem = error instanceof Problem ? error : Problem.unreachable(); // or it took all the time there is
      this.#isOff = NOT_ALLOWED.has(problem.status);
      this.#onProblem(problem);
      return;
    }
    this.#isOff = false;
    this.#onStatus(status);
  }
}
