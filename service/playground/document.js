/** DocumentView: a document with the words marked that something rests on. */

import { unitsAt, wholeAt } from "./code_points.js";
import { element } from "./element.js";
import { Problem } from "./problem.js";
import { documentPath } from "./server.js";

/**
 * @typedef {object} Span a part of a document
 * @property {string} id of the document
 * @property {number} start in code points
 * @property {number} end
 * @property {string} quote what the part says, as the server told
 * @property {string} place page and headings, as far as there are any
 */

// Units on either side that are shown at once: a document may have five million.
const AROUND = 20_000;
const CHANGED = "The document has changed since, or a rule of the server masks it. This was quoted:";

export class DocumentView {
  #server;
  #places;
  #opener = /** @type {HTMLElement | null} */ (null);
  #asked = new AbortController();

  /**
   * @param {import("./server.js").Server} server
   * @param {Record<"root" | "title" | "place" | "note" | "text" | "close", HTMLElement>} places
   */
  constructor(server, places) {
    this.#server = server;
    this.#places = places;
    places.close.addEventListener("click", () => this.close());
    places.root.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  /**
   * Show it, and go there.
   *
   * @param {string} collection
   * @param {Span} span
   * @param {HTMLElement} opener where to go back to
   */
  async open(collection, span, opener) {
    this.#opener = opener;
    this.#asked.abort();
    const asked = (this.#asked = new AbortController());
    try {
      const found = await this.#server.json(documentPath(collection, span.id), { signal: asked.signal });
      if (found.id !== span.id) {
        throw new Problem("This document cannot be asked for by its name."); // "..", which addresses have another use for
      }
      this.#show(collection, found, span);
    } catch (problem) {
      if (asked.signal.aborted) {
        return; // another one was asked for, or this one is closed
      }
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      this.#head(span.id, collection, [problem.message, problem.detail, "This was quoted:"].join(" "));
      this.#places.text.replaceChildren(element("blockquote", {}, span.quote));
      this.#reveal(this.#places.text);
    }
  }

  /** Hide it, and go back to where it was opened. */
  close() {
    this.#asked.abort();
    this.#places.root.hidden = true;
    if (this.#opener?.isConnected) {
      this.#opener.focus();
    }
  }

  /**
   * @param {string} collection
   * @param {{id: string, title: string, text: string, url: string | null}} found
   * @param {Span} span
   */
  #show(collection, found, span) {
    const { text } = found;
    const place = [collection, found.id, span.place].filter(Boolean).join(" · ");
    const [start, end] = [unitsAt(text, span.start), unitsAt(text, span.end)];
    if (text.slice(start, end) !== span.quote) {
      this.#head(found.title || found.id, place, CHANGED);
      this.#places.text.replaceChildren(element("blockquote", {}, span.quote), text.slice(0, wholeAt(text, AROUND)));
      this.#reveal(this.#places.text);
      return;
    }
    this.#head(found.title || found.id, place, "");
    const mark = element("mark", { tabIndex: -1 }, span.quote);
    const from = wholeAt(text, Math.max(0, start - AROUND));
    const to = wholeAt(text, Math.min(text.length, end + AROUND));
    this.#places.text.replaceChildren(
      ...rest(text.slice(0, from), "Show what is before"),
      text.slice(from, start),
      mark,
      text.slice(end, to),
      ...rest(text.slice(to), "Show what is after"),
    );
    this.#reveal(mark);
  }

  /**
   * @param {string} title
   * @param {string} place
   * @param {string} note
   */
  #head(title, place, note) {
    this.#places.title.textContent = title;
    this.#places.place.textContent = place;
    this.#places.note.textContent = note;
    this.#places.note.hidden = note === "";
    this.#places.root.hidden = false;
  }

  /** @param {HTMLElement} target */
  #reveal(target) {
    target.focus({ preventScroll: true });
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    target.scrollIntoView({ block: "center", behavior: isStill ? "auto" : "smooth" });
  }
}

/**
 * What is left out, behind a button.
 *
 * @param {string} text
 * @param {string} label
 * @returns {HTMLElement[]} nothing where nothing is left out
 */
function rest(text, label) {
  if (text === "") {
    return [];
  }
  const button = element("button", { type: "button" }, label);
  button.addEventListener("click", () => button.replaceWith(text));
  return [button];
}
