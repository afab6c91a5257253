/** Sources: what was quoted and what was found, as lists that lead into the documents. */

import { element } from "./element.js";
import { counted } from "./figures.js";

/** @typedef {import("./answer.js").Citation} Citation */
/** @typedef {import("./document.js").Span} Span */

/**
 * @typedef {object} Chunk as the API has it; offsets are in code points
 * @property {string} document_id
 * @property {string} title
 * @property {string} text
 * @property {number} start
 * @property {number} end
 * @property {number | null} page
 * @property {string[]} heading_path
 * @property {number} score
 */

export class Sources {
  #titles = new Map();
  #known = new Set();
  #quoted;
  #found;
  #onOpened;

  /**
   * @param {HTMLElement} quoted holds a list; hidden where there is nothing
   * @param {HTMLDetailsElement} found likewise
   * @param {(span: Span, opener: HTMLElement) => void} onOpened an entry was chosen
   */
  constructor(quoted, found, onOpened) {
    this.#quoted = quoted;
    this.#found = found;
    this.#onOpened = onOpened;
  }

  /** Nothing yet. */
  begin() {
    this.#titles.clear();
    this.#known.clear();
    for (const place of [this.#quoted, this.#found]) {
      list(place).replaceChildren();
      place.hidden = true;
    }
  }

  /** @param {Chunk[]} chunks best first */
  find(chunks) {
    for (const chunk of chunks) {
      this.#titles.set(chunk.document_id, chunk.title);
      const { document_id: id, start, end, text: quote } = chunk;
      const place = [placeOf(chunk), `score ${chunk.score.toFixed(2)}`].filter(Boolean).join(" · ");
      this.#add(this.#found, { id, start, end, quote }, place);
    }
    this.#found.hidden = chunks.length === 0;
    this.#found.open = false;
    const summary = /** @type {HTMLElement} */ (this.#found.querySelector("summary"));
    summary.textContent = `${counted(chunks.length, "passage")} found`;
  }

  /** @param {Citation} citation is listed once, however often the answer rests on it */
  quote(citation) {
    const name = JSON.stringify([citation.marker, spanOf(citation)]);
    if (this.#known.has(name)) {
      return;
    }
    this.#known.add(name);
    const item = this.#add(this.#quoted, spanOf(citation), placeOf(citation));
    item.prepend(element("span", { className: "number", ariaHidden: "true" }, String(citation.marker)));
    this.#quoted.hidden = false;
  }

  /**
   * @param {HTMLElement} place
   * @param {Span} span
   * @param {string} where
   */
  #add(place, span, where) {
    const title = element("bdi", {}, this.#titles.get(span.id) || span.id);
    const opener = element("button", { type: "button", className: "source" }, title);
    opener.addEventListener("click", () => this.#onOpened(span, opener));
    const said = element("blockquote", { dir: "auto" }, span.quote);
    const item = element("li", {}, opener, element("span", { className: "hint", dir: "auto" }, where), said);
    list(place).append(item);
    return item;
  }
}

/**
 * @param {Citation} citation
 * @returns {Span} what it rests on
 */
export function spanOf({ document_id: id, document_start: start, document_end: end, quote }) {
  return { id, start, end, quote };
}

/**
 * @param {{page: number | null, heading_path: string[]}} source
 * @returns {string} page and headings
 */
function placeOf({ page, heading_path: headings }) {
  return [page === null ? "" : `page ${page}`, headings.join(" › ")].filter(Boolean).join(" · ");
}

/** @param {HTMLElement} place */
function list(place) {
  return /** @type {HTMLElement} */ (place.querySelector("ol"));
}
