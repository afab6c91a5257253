/** Waterfall: the stages of an answer, one after the other, with the budgets that they have. */

import { element } from "./element.js";
import { duration } from "./figures.js";

// In the order in which they run; the words are looked for after the vectors.
const STAGES = new Map([
  ["rewrite", "Rewrite the question"],
  ["tokenize", "Read the question"],
  ["queue", "Wait for the device"],
  ["embed", "Embed"],
  ["search", "Search by meaning"],
  ["lexical", "Search by words"],
  ["fusion", "Join both"],
  ["boost", "Bring sources forward"],
  ["rerank", "Rerank"],
  ["prompt", "Choose passages"],
  ["llm_total", "Write the answer"],
  ["other", "All else"],
]);
const FIRST_TEXT = "llm_ttft";
const INSIDE = new Map([[FIRST_TEXT, "until its first text"], ["llm_itl", "longest pause"]]);
const WRITING = "llm_total";
// What a budget is of, where that is more than the stage of its name.
const COVERED = new Map([["embed", ["tokenize", "queue", "embed"]]]);

/** @typedef {{name: string, label: string, from: number, took: number, isInside: boolean}} Bar in milliseconds */

/**
 * @param {Record<string, number>} timings stage -> milliseconds
 * @returns {Bar[]} each begins where the one before it ends; what lies inside another begins with that
 */
export function barsOf(timings) {
  const names = Object.keys(timings).filter((name) => name !== "total" && !INSIDE.has(name));
  const known = [...STAGES.keys()].filter((name) => names.includes(name));
  const others = names.filter((name) => !STAGES.has(name));
  const ordered = [...known.filter((name) => name !== "other"), ...others, ...known.filter((name) => name === "other")];
  /** @type {Bar[]} */
  const bars = [];
  let from = 0;
  for (const name of ordered) {
    bars.push({ name, label: STAGES.get(name) ?? name, from, took: timings[name], isInside: false });
    for (const [inner, label] of name === WRITING ? INSIDE : []) {
      if (inner in timings) {
        bars.push({ name: inner, label, from, took: timings[inner], isInside: true });
      }
    }
    from += timings[name];
  }
  return bars;
}

export class Waterfall {
  #root;
  #budgets = /** @type {Record<string, number>} */ ({});

  /** @param {HTMLElement} root a section with a table */
  constructor(root) {
    this.#root = root;
  }

  /** @param {Record<string, number>} budgets stage -> milliseconds, as far as the server tells */
  budget(budgets) {
    this.#budgets = budgets;
  }

  /** Nothing yet. */
  begin() {
    this.#root.hidden = true;
  }

  /** @param {Record<string, number>} timings stage -> milliseconds, with their `total` */
  show(timings) {
    const total = Math.max(timings.total, Number.MIN_VALUE);
    const rows = barsOf(timings).map((bar) => this.#row(bar, total, timings));
    const whole = element("tr", {}, element("th", { scope: "row", colSpan: 2 }, "In all"), this.#time("total", timings));
    this.#part("tbody").replaceChildren(...rows);
    this.#part("tfoot").replaceChildren(whole);
    this.#root.hidden = false;
  }

  /**
   * @param {Bar} bar
   * @param {number} total
   * @param {Record<string, number>} timings
   */
  #row(bar, total, timings) {
    const drawn = element("span", { className: "bar" });
    drawn.style.setProperty("--from", String(bar.from / total));
    // Of a pause nobody knows when it was: it is told and not drawn.
    drawn.style.setProperty("--share", String(!bar.isInside || bar.name === FIRST_TEXT ? bar.took / total : 0));
    const course = element("td", { className: "course", ariaHidden: "true" }, drawn);
    const row = element("tr", {}, element("th", { scope: "row" }, bar.label), course, this.#time(bar.name, timings));
    row.dataset.stage = bar.name;
    row.classList.toggle("inside", bar.isInside);
    return row;
  }

  /**
   * @param {string} name
   * @param {Record<string, number>} timings
   */
  #time(name, timings) {
    const cell = element("td", { className: "time" }, duration(timings[name]));
    const budget = this.#budgets[name];
    if (budget !== undefined) {
      const spent = (COVERED.get(name) ?? [name]).reduce((sum, each) => sum + (timings[each] ?? 0), 0);
      const isOver = spent > budget;
      cell.append(element("small", {}, `${isOver ? "over" : "of"} ${duration(budget)}`));
      cell.classList.toggle("over", isOver);
    }
    return cell;
  }

  /** @param {string} tag */
  #part(tag) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(tag));
  }
}
