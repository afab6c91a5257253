/** Outcome: what became of a question, in words. */

import { element } from "./element.js";
import { counted, duration } from "./figures.js";

const LOST = new Map([
  ["rerank", "The passages are in the order of the search: they were not reranked."],
  ["rewrite", "The conversation before the question was not looked at."],
  ["lexical", "Only the meaning was searched for, not the words."],
  ["chunks", "Fewer passages were read than usual."],
  ["max_tokens", "The answer was cut short."],
  ["llm", "The language model did not answer: these are quotes from the documents."],
  ["extractive", "There was no time to quote: these are the passages alone."],
]);
const SAID = new Map([
  ["ok", "Answered"],
  ["partial", "Answered in part"],
  ["no_answer", "Not answered"],
  ["blocked", "A rule of this server ended the answer"],
]);

/**
 * @typedef {object} Ended as the API has it
 * @property {string} status
 * @property {string | null} finish_reason
 * @property {number | null} confidence
 * @property {string[]} degraded
 * @property {Record<string, number>} timings_ms
 */

export class Outcome {
  /**
   * @param {{line: HTMLElement, problem: HTMLElement, notes: HTMLElement}} places
   */
  constructor({ line, problem, notes }) {
    this.line = line;
    this.problem = problem;
    this.notes = notes;
  }

  /** Nothing is known yet. */
  begin() {
    this.say("Searching …", "busy");
    this.problem.hidden = true;
    this.notes.replaceChildren();
    this.notes.hidden = true;
  }

  /**
   * @param {string} text
   * @param {string} [state] "busy", "ok", "partial" or "failed"; how it looks
   */
  say(text, state = "") {
    this.line.textContent = text;
    this.line.dataset.state = state;
  }

  /** @param {{code: string, message: string}[]} warnings */
  warn(warnings) {
    warnings.forEach(({ message }) => this.#note(message, "warning"));
  }

  /**
   * @param {Ended} done
   * @param {number} citations how many
   */
  end(done, citations) {
    const took = duration(done.timings_ms.total);
    const parts = [SAID.get(done.status) ?? done.status, took];
    if (done.status !== "no_answer") {
      parts.push(counted(citations, "citation"));
    }
    if (done.confidence !== null && done.status === "ok") {
      parts.push(`confidence ${done.confidence.toFixed(2)}`);
    }
    this.say(parts.join(" · "), done.status === "ok" ? "ok" : "partial");
    for (const rung of done.degraded) {
      this.#note(LOST.get(rung) ?? `It was made without ${rung}.`, rung);
    }
    if (done.finish_reason === "length" && !done.degraded.includes("max_tokens")) {
      this.#note("The answer ends where the longest answer does that was asked for.", "length");
    }
  }

  /** The user had enough. */
  stopped() {
    this.say("Stopped", "partial");
  }

  /** @param {import("./problem.js").Problem} problem */
  fail(problem) {
    this.say("No answer", "failed");
    showProblem(this.problem, problem);
  }

  /**
   * @param {string} text
   * @param {string} name
   */
  #note(text, name) {
    this.notes.hidden = false;
    this.notes.append(element("li", { "data-rung": name }, text));
  }
}

/**
 * Show a problem in its place.
 *
 * @param {HTMLElement} place
 * @param {import("./problem.js").Problem} problem
 */
export function showProblem(place, problem) {
  const lines = [element("strong", {}, problem.message)];
  for (const text of [problem.detail, problem.again]) {
    if (text) {
      lines.push(element("span", { dir: "auto" }, text));
    }
  }
  if (problem.requestId) {
    lines.push(element("small", {}, `request ${problem.requestId}`));
  }
  place.replaceChildren(...lines);
  place.hidden = false;
}
