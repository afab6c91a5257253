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
  /** @type {Map<number, {item: HTMLElement, spans: Span[]}>} */
  #cited = new Map();
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
    this.#cited.clear();
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
      const place = placeOf(chunk);
      const where = [place, `score ${chunk.score.toFixed(2)}`].filter(Boolean).join(" · ");
      this.#add(this.#found, { id, start, end, quote, place }, where);
    }
    this.#found.hidden = chunks.length === 0;
    this.#found.open = false;
    const summary = /** @type {HTMLElement} */ (this.#found.querySelector("summary"));
    summary.textContent = `${counted(chunks.length, "passage")} found`;
  }

  /** @param {Citation} citation its passage is listed once, in the order of the numbers, with each of its quotes once */
  quote(citation) {
    const span = spanOf(citation);
    const known = this.#cited.get(citation.marker);
    if (known === undefined) {
      const item = this.#add(this.#quoted, span, span.place);
      item.prepend(element("span", { className: "number" }, `[${citation.marker}]`));
      const next = Math.min(...[...this.#cited.keys()].filter((marker) => marker > citation.marker));
      list(this.#quoted).insertBefore(item, this.#cited.get(next)?.item ?? null);
      this.#cited.set(citation.marker, { item, spans: [span] });
    } else if (!known.spans.some(({ start, end }) => start === span.start && end === span.end)) {
      known.spans.push(span);
      const opener = element("button", { type: "button", className: "source" }, `Quote ${known.spans.length}`);
      opener.addEventListener("click", () => this.#onOpened(span, opener));
      known.item.append(opener, quoted(span));
    }
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
    const item = element("li", {}, opener, element("span", { className: "hint", dir: "auto" }, where), quoted(span));
    list(place).append(item);
    return item;
  }
}

/** @param {Span} span */
function quoted(span) {
  return element("blockquote", { dir: "auto" }, span.quote);
}

/**
 * @param {Citation} citation
 * @returns {Span} what it rests on
 */
export function spanOf(citation) {
  const { document_id: id, document_start: start, document_end: end, quote } = citation;
  return { id, start, end, quote, place: placeOf(citation) };
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
