/** Asking: one question after the other, from the first event of its answer to the last. */

import { Problem } from "./problem.js";

/**
 * @typedef {object} Views where an answer is shown
 * @property {HTMLElement} section
 * @property {import("./answer.js").AnswerView} answer
 * @property {import("./outcome.js").Outcome} outcome
 * @property {import("./sources.js").Sources} sources
 * @property {import("./waterfall.js").Waterfall} waterfall
 */

export class Asking {
  #server;
  #views;
  #onProblem;
  #current = new AbortController();

  /** The collection that the shown answer is from. */
  collection = "";

  /**
   * @param {import("./server.js").Server} server
   * @param {Views} views
   * @param {(problem: Problem) => void} onProblem
   */
  constructor(server, views, onProblem) {
    this.#server = server;
    this.#views = views;
    this.#onProblem = onProblem;
  }

  /** Show nothing any more: it was for another key. */
  clear() {
    this.stop();
    this.#begin();
    this.#views.section.hidden = true;
  }

  /** Hang up, which ends the work on the server and in the language model. */
  stop() {
    this.#current.abort();
  }

  /**
   * @param {string} collection
   * @param {object} body as /v1/query takes it
   * @returns {Promise<boolean>} false where another question took its place
   */
  async ask(collection, body) {
    this.stop();
    const current = (this.#current = new AbortController());
    this.collection = collection;
    this.#begin();
    try {
      await this.#follow(body, current.signal);
    } catch (problem) {
      if (current !== this.#current) {
        return false; // the next question has begun, and these views are its own
      }
      this.#views.answer.end();
      if (problem instanceof Problem) {
        this.#views.outcome.fail(problem);
        this.#onProblem(problem);
      } else if (current.signal.aborted) {
        this.#views.outcome.stopped();
      } else {
        throw problem;
      }
    }
    return current === this.#current;
  }

  #begin() {
    const { section, answer, outcome, sources, waterfall } = this.#views;
    section.hidden = false;
    [answer, outcome, sources, waterfall].forEach((view) => view.begin());
  }

  /**
   * @param {object} body
   * @param {AbortSignal} signal
   */
  async #follow(body, signal) {
    /** @type {import("./answer.js").Citation[]} */
    const citations = [];
    const json = { ...body, collection: this.collection, stream: true };
    let hasEnded = false;
    for await (const { name, data } of this.#server.events("v1/query", { method: "POST", json, signal })) {
      hasEnded ||= name === "done";
      this.#take(name, data, citations);
    }
    if (!hasEnded) {
      throw Problem.brokenOff();
    }
  }

  /**
   * @param {string} name
   * @param {any} data
   * @param {import("./answer.js").Citation[]} citations so far
   */
  #take(name, data, citations) {
    const { answer, outcome, sources, waterfall } = this.#views;
    switch (name) {
      case "retrieval":
        outcome.say("Answering …", "busy");
        outcome.warn(data.warnings);
        sources.find(data.chunks);
        break;
      case "token":
        answer.add(data.text);
        break;
      case "citation":
        citations.push(data);
        answer.cite(data);
        sources.quote(data);
        break;
      case "done":
        answer.end(data.answer, citations);
        answer.flow(data.confidence !== null); // which only quotes have
        outcome.end(data, citations.length);
        waterfall.show(data.timings_ms);
        break;
      case "error":
        throw Problem.ofEvent(data);
      default: // an event of a newer server says nothing that is needed
    }
  }
}
